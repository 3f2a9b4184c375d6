"""Attempts to gain rights and to use parts of the kernel that let others out."""

from __future__ import annotations

from tests.escapes.attempt import table

KERNEL = table(
    {
        "programs that are setuid": """
import shutil
shutil.copy('/usr/bin/id', 'mine')
os.chmod('mine', 0o6755)
for program in ('./mine', '/usr/bin/id'):
    said = subprocess.run([program, '-u'], capture_output=True, text=True, check=False).stdout.strip()
    if said != str(os.getuid()):
        escaped(f'{program} ran as {said}')
if not os.statvfs('/usr').f_flag & os.ST_NOSUID or not os.statvfs('/workspace').f_flag & os.ST_NOSUID:
    escaped('setuid counts')
found = [name for name in ('su', 'mount', 'passwd', 'sudo', 'newgrp', 'chsh') if os.path.exists(f'/usr/bin/{name}')]
for name in found:
    ran = subprocess.Popen([f'/usr/bin/{name}'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.05)
    try:
        ids = [line for line in open(f'/proc/{ran.pid}/status') if line.startswith('Uid')]
        if ids and ids[0].split()[2] != str(os.getuid()):
            escaped(f'{name} runs as {ids[0]}')
    except OSError:
        pass
    ran.kill(); ran.wait()
""",
        "being root": """
for name, number in (('setuid', 0), ('setgid', 0), ('seteuid', 0), ('setfsuid', 0)):
    if name != 'setfsuid' and os.getuid() != 0:
        attempt(name, call, name, number)
attempt('setgroups', lambda: os.setgroups([0]) or 'done')
attempt('setresuid', lambda: os.setresuid(0, 0, 0) or 'done') if os.getuid() else None
""",
        "capabilities": """
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
attempt('capset', call, 'capset', ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)(*[0xffffffff] * 3, 0xff, 0xff, 0xff)))
attempt('ambient', call, 'prctl', 47, 2, 21, 0, 0)
attempt('securebits', call, 'prctl', 28, 0x2f, 0, 0, 0)
for line in open('/proc/self/status'):
    if line.startswith('Cap') and int(line.split()[1], 16):
        escaped(line)
    if line.startswith('NoNewPrivs') and line.split()[1] != '1':
        escaped(line)
""",
        "capabilities of files": """
import shutil
shutil.copy('/usr/bin/true', 'able')
attempt('xattr', lambda: os.setxattr('able', 'security.capability', struct.pack('<IIIII', 0x02000001, 0xffffffff, 0, 0xff, 0)) or 'set')
attempt('chown', lambda: os.chown('able', 0, 0) or 'root') if os.getuid() else None
""",
        "a user namespace": """
for flags in (0x10000000, 0x10000000 | 0x20000, 0x20000, 0x20000000, 0x40000000, 0x4000000, 0x8000000, 0x2000000, 0x80):
    attempt(hex(flags), call, 'unshare', flags)
""",
        "a user namespace by clone": """
number = 56 if X86 else 220
for flags in (0x10000000 | 17, 0x10020000 | 17, 0x30000000 | 17):
    try:
        made = libc.syscall(ctypes.c_long(number), ctypes.c_ulong(flags), None, None, None, None)
    except OSError:
        made = -1
    if made == 0:
        os._exit(0)
    if made > 0:
        escaped(f'clone {hex(flags)}')
arguments = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17)
made = libc.syscall(ctypes.c_long(435), ctypes.byref(arguments), ctypes.c_size_t(88))
if made == 0:
    os._exit(0)
if made > 0:
    escaped('clone3')
""",
        "entering other namespaces": """
for pid in pids():
    for name in ('mnt', 'pid', 'net', 'user', 'ipc', 'uts', 'cgroup'):
        try:
            descriptor = os.open(f'/proc/{pid}/ns/{name}', os.O_RDONLY)
        except OSError:
            continue
        attempt(f'{pid} {name}', call, 'setns', descriptor, 0)
        os.close(descriptor)
attempt('pidfd', lambda: checked(libc.setns(os.pidfd_open(1), 0x7c020000)))
""",
        "tracing the first process": """
for request in (16, 0x4206):
    libc.ptrace.restype = ctypes.c_long
    attempt('ptrace', lambda: checked(libc.ptrace(request, 1, None, None)))
""",
        "the memory of the first process": """
attempt('mem', lambda: os.open('/proc/1/mem', os.O_RDWR))
local = ctypes.create_string_buffer(64)
class Vector(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]
mine = Vector(ctypes.addressof(local), 64)
theirs = Vector(0x400000, 64)
attempt('readv', call, 'process_vm_readv', 1, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0)
attempt('writev', call, 'process_vm_writev', 1, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0)
attempt('pidfd_getfd', lambda: system_call(438, os.pidfd_open(1), 1, 0))
""",
        "keyrings": """
number = (248, 249, 250) if X86 else (217, 218, 219)
attempt('add_key', system_call, number[0], b'user', b'x', b'y', ctypes.c_size_t(1), -4)
attempt('request_key', system_call, number[1], b'user', b'x', None, -4)
attempt('keyctl', system_call, number[2], 0, -3, 0, 0, 0)
""",
        "io_uring": "attempt('setup', system_call, 425, 8, ctypes.byref(ctypes.create_string_buffer(120)))",
        "bpf, perf and faults": """
numbers = (321, 298, 323) if X86 else (280, 241, 282)
attempt('bpf', system_call, numbers[0], 0, ctypes.byref(ctypes.create_string_buffer(struct.pack('IIII', 1, 4, 4, 1), 128)), 128)
attempt('perf', system_call, numbers[1], ctypes.byref(ctypes.create_string_buffer(struct.pack('II', 1, 120), 120)), 0, -1, -1, 0)
attempt('userfaultfd', system_call, numbers[2], 0)
""",
        "modules and another kernel": """
attempt('init_module', system_call, 175 if X86 else 105, b'x', 1, b'')
attempt('finit_module', system_call, 313 if X86 else 273, 0, b'', 0)
attempt('delete_module', system_call, 176 if X86 else 106, b'x', 0)
attempt('kexec', system_call, 246 if X86 else 104, 0, 0, None, 0)
attempt('reboot', call, 'reboot', 0x1234567)
attempt('swapoff', call, 'swapoff', b'/dev/vda')
attempt('acct', call, 'acct', b'/workspace/x')
""",
        "the clock and the host's name": """
attempt('clock', lambda: time.clock_settime(time.CLOCK_REALTIME, 0) or 'set')
attempt('name', lambda: socket.sethostname('mine') or 'set')
attempt('domain', call, 'setdomainname', b'x', 1)
""",
        "calls of other processors": """
if X86:
    attempt('x32', system_call, 0x40000000 | 39)
    attempt('x32 unshare', system_call, 0x40000000 | 272, 0x10000000)
""",
        "bounds and priorities": """
import resource
for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
    attempt(kind, lambda: resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)) or 'raised')
attempt('nice', lambda: os.setpriority(os.PRIO_PROCESS, 0, -10) or 'raised')
attempt('realtime', lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50)) or 'realtime')
attempt('oom', write, '/proc/self/oom_score_adj', '-1000')
if resource.getrlimit(resource.RLIMIT_CORE)[1] != 0:
    escaped('cores are dumped')
""",
        "typing into the terminal": """
import pty, termios
attempt('tty', lambda: os.open('/dev/tty', os.O_RDWR))
attempt('console', lambda: os.open('/dev/console', os.O_RDWR))
for descriptor in (0, 1, 2):
    attempt(f'TIOCSTI {descriptor}', lambda: fcntl.ioctl(descriptor, termios.TIOCSTI, b'x') or 'typed')
master, slave = pty.openpty()
attempt('own', lambda: fcntl.ioctl(slave, termios.TIOCSTI, b'x') or 'typed')
attempt('linux', lambda: fcntl.ioctl(slave, 0x541C, b'\\x03') or 'pasted')
if os.getsid(0) != os.getpid() and os.getsid(0) == 0:
    escaped('a session of the host')
""",
    }
)
