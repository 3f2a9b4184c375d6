"""Attempts to take everything from the host, and to stay after the end."""

from __future__ import annotations

from tests.escapes.attempt import table

EXHAUSTING = table(
    {
        "a fork bomb": """
while True:
    try:
        os.fork()
    except OSError:
        pass
""",
        "a bomb of threads": """
def more():
    while True:
        try:
            threading.Thread(target=more).start()
        except RuntimeError:
            time.sleep(0.01)
more()
""",
        "taking memory": """
held = []
while True:
    held.append(b'x' * 2**20)
""",
        "taking memory by many": """
for _ in range(20):
    if os.fork() == 0:
        held = []
        while True:
            held.append(b'x' * 2**20)
while True:
    time.sleep(1)
""",
        "taking memory by files in memory": """
for folder in ('/tmp', '/dev/shm', '/var/tmp'):
    try:
        with open(f'{folder}/x', 'wb') as file:
            while True:
                file.write(b'x' * 2**20)
    except OSError as error:
        print(error)
descriptor = os.memfd_create('x')
while True:
    os.write(descriptor, b'x' * 2**20)
""",
        "taking memory by pipes": """
held = []
while True:
    try:
        held.append(os.pipe())
        os.set_blocking(held[-1][1], False)
        os.write(held[-1][1], b'x' * 2**16)
    except OSError:
        if os.fork() == 0:
            held = []
""",
        "filling the disk": """
number = 0
while True:
    number += 1
    try:
        with open(f'file{number}', 'wb') as file:
            for _ in range(16):
                file.write(b'x' * 2**20)
    except OSError:
        time.sleep(0.01)
""",
        "filling the disk with what has no name": """
held = []
while True:
    try:
        held.append(open('file', 'wb'))
        os.unlink('file')
        held[-1].write(b'x' * 2**23)
        held[-1].flush()
    except OSError:
        time.sleep(0.01)
""",
        "filling the disk through mappings": """
import mmap
held = []
while True:
    with open('file', 'w+b') as file:
        os.unlink('file')
        file.truncate(2**23)
        held.append(mmap.mmap(file.fileno(), 2**23))
    for place in range(0, 2**23, 4096):
        held[-1][place] = 1
""",
        "one file that never ends": """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with open('file', 'wb', buffering=0) as file:
    while True:
        try:
            file.write(b'x' * 2**20)
        except OSError:
            file.seek(0, 1)
            time.sleep(0.1)
""",
        "taking all inodes": """
number = 0
while True:
    number += 1
    if number % 1000 == 1:
        os.mkdir(f'd{number}')
        os.chdir(f'/workspace/d{number}')
    os.close(os.open(f'f{number}', os.O_CREAT))
    if number % 1000 == 0:
        os.chdir('/workspace')
""",
        "folders without end": """
while True:
    os.mkdir('d')
    os.chdir('d')
""",
        "talking without end": """
line = b'x' * 2**16
while True:
    os.write(1, line)
    os.write(2, line)
""",
        "taking all processors": """
for _ in range(16):
    if os.fork() == 0:
        while True:
            pass
while True:
    pass
""",
        "ignoring every signal": """
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    time.sleep(1)
""",
    },
    lasts=True,
    seconds=3.0,
)

STAYING = table(
    {
        "children left behind": """
for _ in range(5):
    if os.fork() == 0:
        time.sleep(1000)
        os._exit(0)
""",
        "a daemon that let go of everything": """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        os.closerange(0, 100)
        while True:
            time.sleep(1)
    os._exit(0)
""",
        "a program started by nohup": "subprocess.Popen(['sh', '-c', 'nohup setsid sleep 1000 > /dev/null 2>&1 &'])",
        "a process that does not want to die with its parent": """
if os.fork() == 0:
    libc.prctl(1, 0, 0, 0, 0)
    libc.prctl(36, 1, 0, 0, 0)
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
    time.sleep(1000)
""",
        "a stopped process": """
if os.fork() == 0:
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(0)
""",
        "a place that is hard to remove": """
os.makedirs('locked/inner')
write('locked/inner/file')
os.chmod('locked/inner/file', 0)
os.chmod('locked/inner', 0)
os.chmod('locked', 0)
os.symlink('/', 'root')
os.symlink('..', 'up')
os.mkfifo('pipe')
for _ in range(200):
    os.mkdir('d')
    os.chdir('d')
""",
    }
)
