/**
 * An interpreter that lies: code in Python has the line to the agent as its descriptor 3.
 */
import { Cause, Effect } from "effect"
import type { Arena } from "../Arena.js"
import { type Attempt, escaped, type Family, held, unclear } from "../Attempt.js"

const { raw } = String

const WALL = "lengths are capped, numbers of others are ignored, the rest ends the interpreter"

const speaking = raw`
import array
def frame(header, blob=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<II", len(text), len(blob)) + text + blob
line = socket.socket(fileno=os.dup(3))
line.setblocking(True)
def say(data):
    line.sendall(data)
`

/** Says something false, and looks whether another context is as it was, and the sandbox lives, or has ended in order. */
const lying = (
  id: string,
  title: string,
  lie: string,
  options: { readonly ends?: boolean } & Partial<Attempt> = {}
): Attempt => {
  const { ends = false, ...rest } = options
  return {
    id,
    title,
    wall: WALL,
    ...rest,
    make: (arena: Arena) =>
      Effect.gen(function*() {
        const { run, sandboxId, sdk } = arena
        const { id: contextId } = yield* sdk.createCodeContext(sandboxId, { language: "python" })
        // Under way while the lies are told.
        const honest = yield* Effect.fork(Effect.exit(sdk.runCode(
          sandboxId,
          "import time\nfor number in range(10):\n    time.sleep(0.05)\n    print(number)\n'honest'",
          { contextId }
        )))
        yield* Effect.sleep("20 millis")
        const said = yield* run("python", speaking + lie, 1_500)
        const exit = yield* Effect.flatten(honest.await)
        const status = yield* sdk.getSandboxStatus(sandboxId)
        if (Reflect.get(Object.prototype, "polluted") !== undefined) return escaped("the engine's objects are polluted")
        if (exit._tag === "Failure") {
          return ends && status === "error"
            ? held("the sandbox was ended")
            : escaped(`the other context: ${Cause.pretty(exit.cause)}`)
        }
        const { execution } = exit.value
        if (execution.text !== "'honest'" || execution.logs.stdout.join("") !== "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n") {
          return escaped(`another run got ${JSON.stringify(execution.logs.stdout)} and ${execution.text}`)
        }
        if (execution.results.length !== 1) return escaped(`another run got ${execution.results.length} results`)
        yield* Effect.ignore(sdk.deleteCodeContext(contextId))
        const after = yield* Effect.exit(sdk.runTerminal(sandboxId, "echo alive"))
        return after._tag === "Success" && after.value === "alive\n"
          ? held(said.includes("interpreter") ? "the interpreter was ended" : "ignored")
          : ends && status === "error"
          ? held("the sandbox was ended")
          : unclear(`${said.slice(0, 200)}; then ${after._tag}`)
      })
  }
}

export const protocol: Family = {
  name: "protocol",
  title: "An interpreter that lies",
  attempts: [
    lying(
      "protocol-garbage",
      "Say what is no protocol",
      raw`
say(os.urandom(200000))
time.sleep(0.2)`
    ),
    lying(
      "protocol-length",
      "Promise four gigabytes",
      raw`
say(struct.pack("<II", 0xffffffff, 0xffffffff) + b"x" * 100)
time.sleep(0.2)`
    ),
    lying(
      "protocol-unfinished",
      "Promise the most that is allowed, and send a little at a time",
      raw`
say(struct.pack("<II", 60000, 64 << 20))
for _ in range(20):
    say(b" " * 1000)
    time.sleep(0.01)`
    ),
    lying(
      "protocol-others",
      "Speak for the runs of others",
      raw`
error = json.dumps({"name": "Forged", "value": "forged", "traceback": "forged"}).encode()
result = json.dumps({"isMainResult": True, "text": "forged"}).encode()
for number in range(1, 3000):
    for text in (frame({"ev": "output", "run": number, "fd": 1}, b"forged"), frame({"ev": "result", "run": number}, result),
        frame({"ev": "error", "run": number}, error), frame({"ev": "done", "run": number}), frame({"ev": "died", "run": number}),
        frame({"ev": "ready"}), frame({"ev": "context.exit", "ctx": str(number)}), frame({"ev": "reply", "id": number, "value": None})):
        say(text)
time.sleep(0.2)`
    ),
    lying(
      "protocol-types",
      "Say the right things with the wrong types",
      raw`
for header in ({"ev": "done", "run": "1"}, {"ev": "done", "run": 1e300}, {"ev": "done", "run": None}, {"ev": ["done"], "run": 1},
    {"ev": {"a": 1}}, {"ev": "done", "run": -1}, {"ev": "done", "run": True}, {"ev": "done", "run": 2**70, "exitCode": "x"}, {},
    {"ev": None}, {"ev": "result", "run": {}}, {"ev": "result", "run": [1], "sync": "x"}):
    say(frame(header, b"x"))
for text in (b"[]", b"1", b"null", b'"x"', b"{", b"\xff", b""):
    say(frame(text))
time.sleep(0.2)`
    ),
    lying(
      "protocol-depth",
      "Nest deeper than a parser can follow",
      raw`
say(frame(b'{"ev":' + b"[" * 30000 + b"]" * 30000 + b"}"))
time.sleep(0.2)`
    ),
    lying(
      "protocol-flood",
      "Send a hundred thousand messages",
      raw`
piece = frame({"ev": "nothing", "run": 0}) * 1000
for _ in range(100):
    say(piece)
time.sleep(0.2)`
    ),
    lying(
      "protocol-descriptors",
      "Send the agent open files until it has no room",
      raw`
for _ in range(300):
    line.sendmsg([frame({"ev": "nothing"})], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 250))])
time.sleep(0.2)`
    ),
    lying(
      "protocol-own-result",
      "Send results of one's own that do not fit the schema",
      raw`
import gc
number = next(each.run for each in gc.get_objects() if type(each).__name__ == "Kernel")
for blob in (b'{"isMainResult":true,"text":"x","__proto__":{"polluted":1},"json":{"__proto__":{"polluted":1}}}',
    b'{"isMainResult":true,"extra":{"constructor":{"prototype":{"polluted":1}}}}', b"no json", b'{"isMainResult":"maybe"}',
    b'{"text":1e999}', b"\xff\xfe", b"[" * 100000):
    say(frame({"ev": "result", "run": number}, blob))
    time.sleep(0.02)
time.sleep(0.3)`,
      { alone: {}, ends: true }
    ),
    lying(
      "protocol-own-error",
      "Send an error of one's own that does not fit the schema",
      raw`
import gc
number = next(each.run for each in gc.get_objects() if type(each).__name__ == "Kernel")
for blob in (b'{"name":1,"value":{},"traceback":null}', b"", b"{}", b'{"__proto__":{"polluted":1}}'):
    say(frame({"ev": "error", "run": number}, blob))
    time.sleep(0.02)
time.sleep(0.3)`,
      { alone: {}, ends: true }
    ),
    lying(
      "protocol-early-end",
      "Say that the run is done, and go on",
      raw`
import gc
number = next(each.run for each in gc.get_objects() if type(each).__name__ == "Kernel")
say(frame({"ev": "done", "run": number}))
print("late" * 1000)
say(frame({"ev": "done", "run": number}) * 100)
say(frame({"ev": "done", "run": number + 1}) * 100)
time.sleep(0.3)`
    ),
    lying(
      "protocol-hang-up",
      "Hang up",
      raw`
line.shutdown(socket.SHUT_RDWR)
os.close(3)
time.sleep(0.3)`
    )
  ]
}
