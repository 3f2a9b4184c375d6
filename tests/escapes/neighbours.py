"""Attempts to reach other processes, the network, and what the worker holds."""

from __future__ import annotations

from tests.escapes.attempt import table

NEIGHBOURS = table(
    {
        "names of the gateway in the environment": """
for name in os.environ:
    if name.upper().startswith('POINTSMAN'):
        escaped(name)
if HOST['secret'] in str(dict(os.environ)):
    escaped('the secret')
""",
        "the environment of every process": """
for pid in pids():
    try:
        found = read(f'/proc/{pid}/environ', 10**6)
    except OSError:
        continue
    if b'POINTSMAN' in found or HOST['secret'].encode() in found or (pid == 1 and found.strip(b'\\0')):
        escaped(f'{pid} {found}')
""",
        "command lines of the host": """
for pid in pids():
    if HOST['marker'].encode() in read(f'/proc/{pid}/cmdline', 10**6).replace(sys.argv[1].encode(), b''):
        escaped(pid)
if len(pids()) > 5:
    escaped(pids())
""",
        "descriptors of the worker": """
names = os.listdir('/proc/self/fd')
for name in names:
    try:
        target = os.readlink(f'/proc/self/fd/{name}')
    except FileNotFoundError:
        continue
    if int(name) > 2 or target.startswith(('socket:', 'anon_inode:')):
        escaped(f'{name} {target}')
    elif not target.startswith(('pipe:', '/dev/null', '/memfd:pointsman')):
        escaped(f'{name} {target}')
""",
        "changing what was given as stdin": """
attempt('write', lambda: os.write(os.open('/proc/self/fd/0', os.O_RDWR), b'x'))
attempt('grow', lambda: os.ftruncate(os.open('/proc/self/fd/0', os.O_RDWR), 2**30) or 'grown')
""",
        "signals to the host's processes": """
for pid in HOST['pids']:
    if pid not in pids():
        attempt(pid, lambda: os.kill(pid, 0) or 'reached')
        attempt(pid, lambda: os.pidfd_open(pid))
for pid in HOST['pids']:
    if pid > 50:
        attempt(f'kill {pid}', lambda: os.kill(pid, signal.SIGKILL) or 'killed')
""",
        "signals to everything": """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
try:
    os.kill(-1, signal.SIGTERM)
except OSError:
    pass
try:
    os.killpg(0, signal.SIGTERM)
except OSError:
    pass
""",
        "killing the first process": """
for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGSEGV):
    try:
        os.kill(1, number)
    except OSError:
        pass
time.sleep(0.2)
if 1 not in pids():
    escaped('it is gone')
""",
        "PostgreSQL by its socket": """
for path in HOST['sockets']:
    attempt(path, lambda: socket.socket(socket.AF_UNIX).connect(path) or 'connected')
""",
        "any socket that can be found": """
for top, folders, names in os.walk('/'):
    if top == '/':
        folders[:] = [name for name in folders if name not in ('proc', 'usr')]
    for name in names:
        if stat.S_ISSOCK(os.lstat(os.path.join(top, name)).st_mode):
            escaped(os.path.join(top, name))
""",
        "an abstract socket of the host": """
attempt('abstract', lambda: socket.socket(socket.AF_UNIX).connect('\\0' + HOST['abstract']) or 'connected')
if HOST['abstract'] in open('/proc/net/unix').read():
    escaped('seen')
""",
        "a listener on the host's loopback": """
for address in ('127.0.0.1', '127.0.0.2', '0.0.0.0', 'localhost', '::1', '::ffff:127.0.0.1'):
    attempt(address, lambda: socket.create_connection((address, HOST['port']), 1))
""",
        "the host by its other addresses": """
for address in HOST['addresses']:
    attempt(address, lambda: socket.create_connection((address, HOST['port']), 1))
""",
        "an address outside": """
for address in ('192.0.2.1', '198.51.100.1', '169.254.169.254', '10.0.0.1', '2001:db8::1'):
    attempt(address, lambda: socket.create_connection((address, 80), 1))
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    attempt(address, lambda: socket.socket(family, socket.SOCK_DGRAM).sendto(b'x', (address, 53)))
""",
        "names of the network": "attempt('dns', lambda: socket.getaddrinfo('example.com', 80))",
        "raw sockets": """
attempt('raw', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
attempt('raw', lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6))
attempt('packet', lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3))
attempt('packet', lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 3))
""",
        "netlink": """
for protocol in (4, 5, 6, 9, 12, 15, 16):
    attempt(f'netlink {protocol}', lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol))
if [name for _, name in socket.if_nameindex() if name != 'lo' and not name.startswith(('sit', 'tunl', 'gre', 'ip6', 'ip_', 'erspan'))]:
    escaped(socket.if_nameindex())
route = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
route.bind((0, 0))
link = struct.pack('=BxHiII', 0, 0, 0, 0, 0) + struct.pack('=HH8s', 12, 3, b'mine')
route.send(struct.pack('=IHHII', 16 + len(link), 16, 0x0605, 1, 0) + link)
answer = route.recv(4096)
if struct.unpack('=i', answer[16:20])[0] == 0:
    escaped('a new interface')
""",
        "the virtual machine's own socket": """
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
    attempt(kind, lambda: socket.socket(40, kind))
""",
        "other families of sockets": """
for family in (3, 4, 5, 9, 15, 17, 18, 21, 29, 30, 31, 35, 36, 38, 39, 41, 42, 44):
    attempt(family, lambda: socket.socket(family, socket.SOCK_DGRAM))
""",
        "listening for the host": """
listener = socket.socket()
listener.bind(('0.0.0.0', HOST['port']))  # its own network has the port free
listener.listen()
listener.settimeout(0.3)
attempt('accepted', listener.accept)
""",
        "shared memory of the host": """
if [name for name in os.listdir('/dev/shm')]:
    escaped(os.listdir('/dev/shm'))
attempt('segment', call, 'shmget', HOST['segment'], 0, 0)
for kind in ('shm', 'sem', 'msg'):
    if len(open(f'/proc/sysvipc/{kind}').readlines()) > 1:
        escaped(kind)
""",
        "temporary files of the host": """
for folder in ('/tmp', '/var/tmp'):
    if os.listdir(folder):
        escaped(os.listdir(folder))
""",
    }
)
