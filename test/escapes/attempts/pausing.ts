/**
 * A sandbox that is paused, and code that means to go on all the same.
 */
import { Effect } from "effect"
import type { AnySandboxSDKError } from "../../../src/Errors.js"
import type { Arena } from "../Arena.js"
import { type Attempt, escaped, type Family, held, unclear, type Verdict } from "../Attempt.js"
import { starting } from "./running.js"

const { raw } = String

const WALL = "the freezer of a control group; else SIGSTOP to each process until all have stopped"

/** For how long it is paused, in milliseconds. */
const PAUSE_MS = 700

/** Writes down when it runs, by the clock that the whole machine shares (CLOCK_MONOTONIC). */
const beating = raw`
log = os.open("/workspace/beats", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
def beat():
    os.write(log, b"%d\n" % time.monotonic_ns())
def detach():
    """Goes on in an orphan of another session."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
os.close(os.open("/workspace/up", os.O_WRONLY | os.O_CREAT, 0o666))
`

/** No beat may be from within the pause, and there have to be some before and after. */
const judgeBeats = (beats: ReadonlyArray<bigint>, from: bigint, to: bigint): Verdict => {
  const inside = beats.filter((at) => at > from && at < to)
  return inside.length > 0
    ? escaped(`${inside.length} times it ran while it was paused`)
    : !beats.some((at) => at <= from) || !beats.some((at) => at >= to)
    ? unclear("it did not run before and after")
    : held("nothing ran")
}

const paused = (arena: Arena, code: string): Effect.Effect<Verdict, AnySandboxSDKError> =>
  Effect.gen(function*() {
    const { sandboxId, sdk } = arena
    const beats = Effect.map(
      Effect.orElseSucceed(sdk.readFile(sandboxId, "beats"), () => ""),
      (text) => text.split("\n").slice(0, -1).map((line) => BigInt(line))
    )
    const beatsUntil = (until: (all: ReadonlyArray<bigint>) => boolean) =>
      Effect.repeat(Effect.delay(beats, "25 millis"), { until, times: 400 })
    yield* starting(arena, "evader", beating + code)
    yield* beatsUntil((all) => all.length > 20)
    const pausing = yield* Effect.either(sdk.pauseSandbox(sandboxId))
    if (pausing._tag === "Left") {
      const { left } = pausing
      // Told, and then all of it runs on: nobody takes it for paused.
      return "code" in left && left.code === "isolation_unavailable" ? held(left.message) : yield* left
    }
    const from = process.hrtime.bigint()
    yield* Effect.sleep(PAUSE_MS)
    const to = process.hrtime.bigint()
    yield* sdk.resumeSandbox(sandboxId)
    return judgeBeats(yield* beatsUntil((all) => all.some((at) => at > to)), from, to)
  })

const attempt = (id: string, title: string, code: string, options: Partial<Attempt> = {}): Attempt => ({
  id,
  title,
  wall: WALL,
  alone: { memoryMb: 256, processes: 64 },
  ...options,
  make: (arena) => paused(arena, code)
})

export const pausing: Family = {
  name: "pausing",
  title: "Pausing",
  attempts: [
    attempt(
      "pausing-fork",
      "Be another process each time that somebody looks",
      raw`
detach()
for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
    signal.signal(number, signal.SIG_IGN)
while True:
    beat()
    try:
        if os.fork():
            os._exit(0)
    except OSError:
        # There are too many that nobody has buried yet.
        time.sleep(0.002)
    time.sleep(0.0005)
`
    ),
    attempt(
      "pausing-storm",
      "Start processes faster than they are stopped",
      raw`
detach()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    beat()
    try:
        if os.fork() == 0:
            for _ in range(20):
                beat()
                time.sleep(0.001)
            os._exit(0)
    except OSError:
        time.sleep(0.001)
`
    ),
    attempt(
      "pausing-wake",
      "Wake each other by SIGCONT, and everybody",
      raw`
detach()
for _ in range(8):
    if os.fork() == 0:
        break
while True:
    beat()
    try:
        os.kill(-1, signal.SIGCONT)
    except OSError:
        pass
    time.sleep(0.0005)
`
    ),
    attempt(
      "pausing-orphans",
      "Leave session, group and parents before the pause",
      raw`
for _ in range(10):
    if os.fork() == 0:
        detach()
        while True:
            beat()
            time.sleep(0.002)
while True:
    beat()
    time.sleep(0.01)
`
    ),
    attempt(
      "pausing-vfork",
      "Wait in the kernel, where signals come late",
      raw`
detach()
# A parent of vfork(2) sleeps where nothing stops it, until its child is gone.
while True:
    beat()
    subprocess.run(["/bin/sh", "-c", "date +%s%N >> /dev/null; read x < /dev/null; sleep 0.001"], check=False)
`
    ),
    attempt(
      "pausing-timer",
      "Have the kernel send a SIGCONT by a timer (timer_create)",
      raw`
detach()
class Event(ctypes.Structure):
    _fields_ = [("value", ctypes.c_void_p), ("signo", ctypes.c_int), ("notify", ctypes.c_int), ("rest", ctypes.c_char * 48)]
timer = ctypes.c_void_p()
# A signal that nobody heeds would not be sent again.
signal.signal(signal.SIGCONT, lambda *_: None)
rt = ctypes.CDLL("librt.so.1")
event = Event(None, signal.SIGCONT, 0, b"")
if rt.timer_create(1, ctypes.byref(event), ctypes.byref(timer)):
    raise OSError("timer_create")
each = (ctypes.c_long * 4)(0, 20_000_000, 0, 20_000_000)
if rt.timer_settime(timer, 0, each, None):
    raise OSError("timer_settime")
while True:
    beat()
    time.sleep(0.005)
`,
      { limit: "pausing" }
    )
  ]
}
