/**
 * The sandbox next door: it has something to steal, and must go on answering.
 */
import { Effect } from "effect"
import { randomBytes, randomInt } from "node:crypto"
import type { Service } from "../../src/SandboxSDK.js"

/**
 * What the programs are told of it.
 */
export interface ToldOfNeighbour {
  readonly sandboxId: string
  readonly tcp: number
  readonly abstractSocket: string
  readonly sharedMemory: number
  readonly queue: string
  readonly processName: string
}

/**
 * The neighbour of all attempts.
 */
export interface Neighbour {
  readonly told: ToldOfNeighbour
  readonly secret: string
  /** Fails unless it runs code and commands, and reads and writes its files, each in its time. */
  readonly answers: Effect.Effect<void, string>
}

/** How long an answer may take before it counts as none; it takes a few milliseconds. */
const PATIENCE = "30 seconds"

const housekeeping = (told: ToldOfNeighbour, secret: string): string => `
import ctypes, os, socket, subprocess, sys, threading
secret = ${JSON.stringify(secret)}
told = ${JSON.stringify(told)}
for path in ("/workspace/secret", "/tmp/secret", "/dev/shm/secret"):
    with open(path, "w") as file:
        file.write(secret)
    os.chmod(path, 0o666)

def serve(family, address):
    server = socket.socket(family)
    server.bind(address)
    server.listen()
    def loop():
        while True:
            client, _ = server.accept()
            client.sendall(secret.encode())
            client.close()
    threading.Thread(target=loop, daemon=True).start()

serve(socket.AF_INET, ("0.0.0.0", told["tcp"]))
serve(socket.AF_UNIX, "\\0" + told["abstractSocket"])
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
memory = libc.shmget(told["sharedMemory"], 4096, 0o1666)
ctypes.memmove(libc.shmat(memory, None, 0), secret.encode(), len(secret))
if hasattr(libc, "mq_open"):
    queue = libc.mq_open(told["queue"].encode(), os.O_RDWR | os.O_CREAT, 0o666, None)
    libc.mq_send(queue, secret.encode(), len(secret), 0)
process = subprocess.Popen([told["processName"], "-c", "while :; do sleep 1000; done", secret], executable="/bin/sh",
    env={"SECRET": secret, "PATH": "/usr/bin:/bin"})
print("ready")
`

/**
 * Makes it. It belongs to the sandboxes of the service, and goes with them.
 */
export const make = (sdk: Service, pythonAsCommand = false): Effect.Effect<Neighbour, string> =>
  Effect.gen(function*() {
    const { sandbox: { id } } = yield* sdk.createSandbox({ templateId: "python", name: "neighbour" })
    const told: ToldOfNeighbour = {
      sandboxId: id,
      tcp: randomInt(20_000, 30_000),
      abstractSocket: `neighbour-${randomBytes(6).toString("hex")}`,
      sharedMemory: randomInt(0x1000, 0x7fff_ffff),
      queue: `/neighbour-${randomBytes(6).toString("hex")}`,
      processName: `neighbour-${randomBytes(6).toString("hex")}`
    }
    const secret = `neighbour-${randomBytes(12).toString("hex")}`
    if (pythonAsCommand) {
      yield* sdk.writeFile(id, "keep.py", `${housekeeping(told, secret)}\nsys.stdout.flush()\nprocess.wait()\n`)
      yield* sdk.runTerminal(
        id,
        "python3 -I keep.py > kept 2>&1 & until grep -q ready kept || ! kill -0 $!; do sleep 0.05; done; grep ready kept"
      )
    } else {
      yield* sdk.runCode(id, housekeeping(told, secret))
    }
    const expect = (what: string, wanted: string) => (got: string | undefined): Effect.Effect<void, string> =>
      got === wanted ? Effect.void : Effect.fail(`${what} gave ${JSON.stringify(got)}`)
    const language = pythonAsCommand ? { language: "javascript" as const } : undefined
    const answers = Effect.gen(function*() {
      yield* Effect.flatMap(
        sdk.runCode(id, "6 * 7", language),
        ({ execution }) => expect("its code", "42")(execution.text)
      )
      yield* Effect.flatMap(sdk.runTerminal(id, "echo $((6 * 7))"), expect("its command", "42\n"))
      const text = randomBytes(8).toString("hex")
      yield* sdk.writeFile(id, "answer", text)
      yield* Effect.flatMap(sdk.readFile(id, "answer"), expect("its file", text))
      yield* Effect.flatMap(sdk.readFile(id, "secret"), expect("its secret", secret))
    }).pipe(
      Effect.timeoutFail({ duration: PATIENCE, onTimeout: () => `it did not answer for ${PATIENCE}` }),
      Effect.mapError((error) => typeof error === "string" ? error : error.message)
    )
    yield* answers
    return { told, secret, answers }
  }).pipe(Effect.mapError((error) => `The neighbour: ${typeof error === "string" ? error : error.message}`))
