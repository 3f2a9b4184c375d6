"""Attempts to read and write what is not the job's: files, devices and mounts of the host."""

from __future__ import annotations

from tests.escapes.attempt import table

FILES = table(
    {
        "the passwords of the host": "attempt('shadow', read, '/etc/shadow'); attempt('gshadow', read, '/etc/gshadow')",
        "a file in the worker's home": "attempt('home', read, HOST['home_file'])",
        "the homes of users": "attempt('home', lambda: [n for n in os.listdir('/home')])",
        "the key ring in the data directory": """
attempt('keyring', read, HOST['keyring'])
attempt('list', os.listdir, os.path.dirname(HOST['keyring']))
""",
        "a path that climbs out": "attempt('climbing', read, '../' * 40 + HOST['keyring'].lstrip('/'))",
        "a path through /proc/self/root": """
attempt('root', read, '/proc/self/root' + HOST['keyring'])
attempt('cwd', read, '/proc/self/cwd/../..' + HOST['keyring'])
""",
        "what lies beside the workspace": "attempt('beside', read, '/workspace/../cgroups.json'); attempt('beside', read, '../processes')",
        "another job's workspace": """
attempt('other', read, HOST['other_file'])
attempt('list', os.listdir, os.path.dirname(HOST['other_file']))
""",
        "the marker, wherever it may be seen": """
for top, folders, names in os.walk('/'):
    if top == '/':
        folders[:] = [name for name in folders if name not in ('proc', 'usr')]
    if HOST['marker'] in names:
        escaped(top)
""",
        "the roots of other processes": """
for pid in pids():
    for way in ('root', 'cwd'):
        attempt(f'{pid} {way}', read, f'/proc/{pid}/{way}{HOST["keyring"]}')
""",
        "descriptors of other processes": """
for pid in pids():
    if pid != os.getpid():
        attempt(f'{pid}', lambda: [os.readlink(f'/proc/{pid}/fd/{name}') for name in os.listdir(f'/proc/{pid}/fd')])
""",
        "a file by its handle": """
buffer = ctypes.create_string_buffer(struct.pack('Ii', 128, 0), 136)
mount_id = ctypes.c_int()
attempt('name', call, 'name_to_handle_at', -100, b'/usr', buffer, ctypes.byref(mount_id), 0)
root = ctypes.create_string_buffer(struct.pack('IiII', 8, 1, 2, 0), 16)
attempt('open', call, 'open_by_handle_at', os.open('/workspace', os.O_RDONLY), root, 0)
""",
        "a link to the host's files": """
os.symlink(HOST['keyring'], 'link')
attempt('link', read, 'link')
os.symlink('/etc/shadow', 'shadow')
attempt('shadow', read, 'shadow')
""",
        "a hard link to the host's files": """
attempt('secret', lambda: os.link(HOST['keyring'], 'hard'))
attempt('passwd', lambda: os.link('/usr/bin/passwd', 'passwd'))
attempt('proc', lambda: os.link('/proc/1/environ', 'environ'))
""",
        "writing programs of the host": """
for path in ('/usr/bin/true', '/usr/bin/new', '/bin/new', '/lib/new', '/usr/local/bin/new'):
    attempt(path, write, path)
for path in ('/etc/passwd', '/etc/ld.so.preload', '/etc/cron.d/x'):
    attempt(path, write, path)
attempt('chmod', os.chmod, '/usr/bin/true', 0o777)
""",
        "writing outside the workspace": """
for path in ('/new', '/dev/new', '/run/new', '/var/new', '/home/new', '/root/new', '/proc/new', '/sys/new', HOST['keyring']):
    attempt(path, write, path)
attempt('mkdir', lambda: os.mkdir('/folder'))
attempt('rename', lambda: os.rename('/usr', '/usr2'))
attempt('unlink', lambda: os.unlink('/etc/passwd'))
""",
        "remounting what is read-only": """
for target in (b'/', b'/usr', b'/dev', b'/proc/sys'):
    attempt(str(target), call, 'mount', b'none', target, None, ctypes.c_ulong(0x20 | 0x1000), None)
attempt('attributes', system_call, 442, -100, b'/usr', 0, ctypes.byref((ctypes.c_uint64 * 4)(0, 1, 0, 0)), ctypes.c_size_t(32))
""",
        "mounting": """
os.mkdir('m')
for kind in (b'tmpfs', b'proc', b'sysfs', b'devtmpfs', b'overlay', b'debugfs', b'securityfs', b'fuse'):
    attempt(str(kind), call, 'mount', kind, b'm', kind, ctypes.c_ulong(0), None)
attempt('bind', call, 'mount', b'/usr', b'm', None, ctypes.c_ulong(0x1000), None)
""",
        "mounting by the new calls": """
attempt('fsopen', system_call, 430, b'proc', 0)
attempt('open_tree', system_call, 428, -100, b'/', 1)
attempt('move_mount', system_call, 429, -100, b'/usr', -100, b'/workspace', 0)
attempt('fspick', system_call, 433, -100, b'/', 0)
""",
        "taking mounts away": """
for target in (b'/usr', b'/workspace', b'/proc', b'/proc/sys', b'/proc/keys', b'/etc/passwd', b'/'):
    for flags in (0, 2):
        attempt(str(target), call, 'umount2', target, flags)
""",
        "leaving a chroot": """
os.mkdir('jail')
attempt('chroot', lambda: os.chroot('jail') or 'done')
attempt('pivot', call, 'pivot_root', b'.', b'jail')
here = os.open('.', os.O_RDONLY)
attempt('fchdir', lambda: (os.fchdir(here), [os.chdir('..') for _ in range(50)], read('.' + HOST['keyring']))[-1])
""",
        "devices of the host": """
for name in '''mem kmem port kmsg vda sda nvme0n1 loop0 loop-control fuse kvm net/tun vsock vhost-vsock snapshot'''.split():
    attempt(name, os.open, f'/dev/{name}', os.O_RDWR)
    attempt(name, os.open, f'/dev/{name}', os.O_RDONLY)
""",
        "making devices": """
for kind, major, minor in ((stat.S_IFBLK, 254, 0), (stat.S_IFBLK, 8, 0), (stat.S_IFCHR, 1, 1), (stat.S_IFBLK, 7, 0)):
    for folder in ('', '/tmp/', '/dev/shm/'):
        name = f'{folder}device{major}-{minor}'
        attempt(name, lambda: (os.mknod(name, kind | 0o666, os.makedev(major, minor)), os.open(name, os.O_RDONLY))[1])
""",
        "sysfs": """
for path in ('/sys', '/sys/fs/cgroup', '/sys/kernel/debug', '/sys/class/net'):
    attempt(path, os.listdir, path)
""",
        "the kernel's memory and symbols": """
for name in ('kcore', 'kallsyms', 'kmsg', 'keys', 'timer_list', 'config.gz', 'kpagecount', 'sched_debug', 'vmallocinfo', 'slabinfo'):
    attempt(name, read, f'/proc/{name}')
attempt('syslog', call, 'klogctl', 3, ctypes.create_string_buffer(4096), 4096)
""",
        "settings of the kernel": """
for name in ('core_pattern', 'modprobe', 'hostname', 'yama/ptrace_scope'):
    attempt(name, write, f'/proc/sys/kernel/{name}', '1')
for name in ('vm/overcommit_memory', 'fs/suid_dumpable', 'user/max_user_namespaces', 'net/ipv4/ip_forward'):
    attempt(name, write, f'/proc/sys/{name}', '1')
""",
        "the system request key": """
attempt('trigger', write, '/proc/sysrq-trigger', 'h')
attempt('setting', write, '/proc/sys/kernel/sysrq', '1')
""",
        "a release agent": """
os.mkdir('c')
for kind, options in ((b'cgroup', b'memory'), (b'cgroup', b'rdma'), (b'cgroup', b'none,name=x'), (b'cgroup2', None)):
    attempt(str(options), call, 'mount', kind, b'c', kind, ctypes.c_ulong(0), options)
for top, folders, names in os.walk('/'):
    if top == '/':
        folders[:] = [name for name in folders if name not in ('proc', 'usr')]
    for name in set(names) & {'release_agent', 'notify_on_release', 'cgroup.procs', 'tasks'}:
        escaped(f'{top}/{name}')
""",
        "leaving the cgroup": """
for line in open('/proc/self/cgroup'):
    number, names, path = line.rstrip().split(':', 2)
    for base in ('/sys/fs/cgroup', f'/sys/fs/cgroup/{names}', f'/proc/1/root/sys/fs/cgroup/{names}'):
        attempt(f'{base}{path}', write, f'{base}{path}/cgroup.procs', '0')
        attempt(base, write, f'{base}/cgroup.procs', '0')
""",
    }
)
