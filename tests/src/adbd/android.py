#!/usr/bin/python3 -IS
"""Android's programs, as far as tests ask them: the stand-in's pm, am, settings, dumpsys, log and logcat.

Called by the name `init` it is the device's first process, and the system server beside it: what Android asks by binder goes
over a socket to it. What it answers is in /system/etc/stand-in.json, written by the tests.
"""

import json, os, signal, socket, subprocess, sys, threading, time

SOCKET = "/dev/socket/stand-in"
LOG = "/data/misc/logd/main"
LEVELS = "VDIWEFS"


def profile():
    with open("/system/etc/stand-in.json") as file:
        return json.load(file)


# ---- the system server


def init():
    os.makedirs("/dev/socket", exist_ok=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind(SOCKET)
    os.chmod(SOCKET, 0o666)
    server.listen(16)
    if os.fork() == 0:
        serve(server)
    server.close()
    # Whoever started the device holds the other end, and takes it along however it ends.
    threading.Thread(target=lambda: os._exit(len(os.read(0, 1))), daemon=True).start()
    print("ready", flush=True)
    while True:  # Orphans are the first process's to bury.
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(1)


def serve(server):
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    while True:
        client, _ = server.accept()
        threading.Thread(target=answer, args=(client,), daemon=True).start()


def answer(client):
    with client, client.makefile("rw", encoding="utf-8", errors="surrogateescape") as stream:
        request = json.loads(stream.readline())

        def say(text):
            stream.write(json.dumps({"out": text}) + "\n")
            stream.flush()

        try:
            code = SERVICES[request["name"]](request["words"], say)
        except (KeyError, IndexError, ValueError) as error:
            say(f"Error: {error!r}\n")
            code = 1
        stream.write(json.dumps({"code": code}) + "\n")


def pm(words, say):
    if words[:2] != ["list", "packages"]:
        say(f"Unknown command: {' '.join(words)}\n")
        return 255
    for package in profile()["packages"]:
        uids = ",".join(str(user * 100000 + package["uid"]) for user in profile()["users"])
        say(f"package:{package['name']}" + (f" uid:{uids}\n" if "-U" in words else "\n"))
    return 0


def settings(words, say):
    path, values = "/data/system/settings.json", {}
    if os.path.exists(path):
        with open(path) as file:
            values = json.load(file)
    verb, key = words[0], "/".join(words[1:3])
    if verb == "get":
        say(values.get(key, "null") + "\n")
        return 0
    if verb == "put":
        values[key] = words[3]
    elif verb == "delete":
        values.pop(key, None)
    else:
        raise ValueError(verb)
    with open(path, "w") as file:
        json.dump(values, file)
    return 0


def dumpsys(words, say):
    if words[:1] != ["package"]:
        say(f"Can't find service: {' '.join(words)}\n")
        return 0
    name = "appId" if profile()["api"] >= 34 else "userId"
    for package in profile()["packages"]:
        if words[1:] in ([], [package["name"]]):
            say(f"  Package [{package['name']}]:\n    {name}={package['uid']}\n")
    return 0


def log(words, say):
    tag, level = "log", "I"
    while words and words[0].startswith("-"):
        option, value, *words = words
        if option == "-t":
            tag = value
        elif option == "-p":
            level = value.upper()
    write_log(level, tag, " ".join(words))
    return 0


def write_log(level, tag, message, pid=1000):
    with open(LOG, "a", encoding="utf-8") as file:
        for line in message.split("\n"):
            file.write(f"{time.time():.6f} {pid} {pid} {level} {tag}: {line}\n")


def start_app(uid, command, **options):
    """The app's own program, under its uid, as zygote starts it."""

    def become():
        os.setsid()
        os.setgroups([3003])
        os.setgid(uid)
        os.setuid(uid)

    home = f"/data/user/0/{uid}"
    os.makedirs(home, mode=0o700, exist_ok=True)
    os.chown(home, uid, uid)
    environment = {"PATH": os.environ["PATH"], "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8"}
    return subprocess.Popen(command, preexec_fn=become, env=environment, cwd="/", stdin=subprocess.DEVNULL, **options)


def am(words, say):
    if words[0] == "instrument":
        return instrument(words[1:], say)
    if words[0] == "start":
        component = words[words.index("-n") + 1]
        say(f"Starting: Intent {{ cmp={component} }}\n")
        name = component.split("/")[0]
        package = next(package for package in profile()["packages"] if package["name"] == name)
        app = start_app(package["uid"], package["command"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        threading.Thread(target=app.wait, daemon=True).start()
        return 0
    raise ValueError(words[0])


def instrument(words, say):
    raw, wanted, component = "-r" in words, None, words[-1]
    if "class" in words:
        wanted = words[words.index("class") + 1]
    found = profile()["instrumentations"].get(component)
    if found is None:
        say(f"INSTRUMENTATION_STATUS: id=ActivityManagerService\nINSTRUMENTATION_STATUS: Error=Unable to find "
            f"instrumentation info for: ComponentInfo{{{component}}}\nINSTRUMENTATION_STATUS_CODE: -1\n")
        return 1
    tests = [test for test in found["tests"] if wanted in (None, test["class"], f"{test['class']}#{test['method']}")]
    write_log("I", "TestRunner", f"run started: {len(tests)} tests")
    failed = 0
    for number, test in enumerate(tests, 1):
        name = f"{test['method']}({test['class']})"

        def status(code, **more):
            fields = {"class": test["class"], "current": number, "id": "AndroidJUnitRunner", "numtests": len(tests),
                      "stream": f"\n{test['class']}:", "test": test["method"], **more}
            lines = "".join(f"INSTRUMENTATION_STATUS: {key}={value}\n" for key, value in fields.items())
            if raw:
                say(f"{lines}INSTRUMENTATION_STATUS_CODE: {code}\n")

        write_log("I", "TestRunner", f"started: {name}")
        status(1)
        app = start_app(found["uid"], test["command"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = app.communicate()[0].decode("utf-8", "replace")
        if app.returncode == 0:
            status(0, stream=".")
        else:
            failed += 1
            stack = f"java.lang.AssertionError: exit code {app.returncode}\n{output}"
            write_log("E", "TestRunner", f"failed: {name}\n----- begin exception -----\n{stack}\n----- end exception -----")
            status(-2, stack=stack)
        write_log("I", "TestRunner", f"finished: {name}")
    write_log("I", "TestRunner", f"run finished: {len(tests)} tests, {failed} failed, 0 ignored")
    verdict = f"OK ({len(tests)} tests)" if failed == 0 else f"Tests run: {len(tests)},  Failures: {failed}"
    say(f"INSTRUMENTATION_RESULT: stream=\n\nTime: 0\n\n{verdict}\n\n\nINSTRUMENTATION_CODE: -1\n")
    return 0


SERVICES = {"pm": pm, "am": am, "settings": settings, "dumpsys": dumpsys, "log": log}


def ask(name, words):
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(SOCKET)
        with server.makefile("rw", encoding="utf-8") as stream:
            stream.write(json.dumps({"name": name, "words": words}) + "\n")
            stream.flush()
            for line in stream:
                said = json.loads(line)
                if "code" in said:
                    return said["code"]
                sys.stdout.write(said["out"])
                sys.stdout.flush()
    print("cmd: Failure calling service", file=sys.stderr)
    return 20


# ---- logcat


def logcat(words):
    formats, filters, least, since, last, dump = [], {}, 0, None, None, False
    words = list(words)
    while words:
        word = words.pop(0)
        if word in ("-v", "-b", "-T", "-t"):
            value = words.pop(0)
            if word == "-v":
                formats += value.split(",")
            elif word in ("-T", "-t"):
                dump = dump or word == "-t"
                since, last = (float(value), None) if "." in value else (None, int(value))
        elif word == "-d":
            dump = True
        elif word == "-c":
            return ask("log", ["-t", "logcat", "cleared"])
        elif word == "-s":
            least = LEVELS.index("S")
        else:
            tag, _, level = word.partition(":")
            if tag == "*":
                least = LEVELS.index(level)
            else:
                filters[tag] = LEVELS.index(level or "V")

    def take(line):
        stamp, pid, thread, level, rest = line.split(" ", 4)
        tag, _, message = rest.partition(": ")
        if LEVELS.index(level) < filters.get(tag, least) or (since is not None and float(stamp) < since):
            return None
        seconds, micros = stamp.split(".")
        digits = micros if "usec" in formats else micros[:3]
        if "epoch" in formats:
            when = f"{int(seconds):19d}.{digits}"
        else:
            when = time.strftime("%m-%d %H:%M:%S", time.gmtime(int(seconds))) + "." + digits
        return f"{when} {int(pid):5d} {int(thread):5d} {level} {tag:<8}: {message}"

    print("--------- beginning of main", flush=True)
    with open(LOG, encoding="utf-8", errors="replace") as file:
        show = [line for line in map(take, file.read().splitlines()) if line]
        for line in show[-last:] if last else show:
            print(line, flush=True)
        rest = ""
        while not dump:
            rest += file.read()
            *lines, rest = rest.split("\n")
            for line in filter(None, map(take, lines)):
                print(line, flush=True)
            time.sleep(0.02)
    return 0


def main():
    name = os.path.basename(sys.argv[0])
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if name == "init":
        init()
    if name == "logcat":
        return logcat(sys.argv[1:])
    return ask(name, sys.argv[1:])


sys.exit(main())
