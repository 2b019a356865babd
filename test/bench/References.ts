/**
 * What a user would have in place of the SDK: programs started from Node, and packages that do the same elsewhere.
 */
import { Effect, Schema } from "effect"
import { spawn } from "node:child_process"
import { accessSync, constants } from "node:fs"
import { createInterface } from "node:readline"
import { Failed, Missing } from "./Row.js"

/** The interpreter that sandboxes use as well. */
export const PYTHON = "/usr/bin/python3"

const failed = (what: string) => (cause: unknown) => new Failed({ message: `${what}: ${String(cause)}` })

/**
 * Starts a program and waits for its end; its output is read and thrown away.
 */
export const program = (command: string, args: ReadonlyArray<string>): Effect.Effect<void, Failed> =>
  Effect.async<void, Failed>((resume) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env: { PATH: process.env["PATH"] ?? "" } })
    child.stdout.resume()
    child.stderr.resume()
    child.once("error", (error) => resume(Effect.fail(failed(command)(error))))
    child.once(
      "close",
      (code) =>
        resume(code === 0 ? Effect.void : Effect.fail(new Failed({ message: `${command} ended with ${String(code)}` })))
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/**
 * Fails with what is missing, unless the program is there.
 */
export const needs = (path: string, debianPackage: string): Effect.Effect<void, Missing> =>
  Effect.try({
    try: () => accessSync(path, constants.X_OK),
    catch: () => new Missing(`${path} is not installed (Debian: apt-get install ${debianPackage})`)
  })

/**
 * An interpreter started, and ended at once: `-I` as it is done for code of others (python3(1)).
 */
export const python = program(PYTHON, ["-I", "-c", "pass"])

/**
 * The same behind bubblewrap, as its manual shows it.
 */
export const bubblewrap = program("/usr/bin/bwrap", [
  ...["--unshare-all", "--die-with-parent", "--new-session", "--clearenv"],
  ...["--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib"],
  ...["--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"],
  ...[PYTHON, "-I", "-c", "pass"]
])

/**
 * A program that answers one line for each line that it is given, until the scope closes.
 */
export const conversation = (command: string, args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] })),
      (child) => Effect.sync(() => child.kill("SIGTERM"))
    )
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
    const next = Effect.tryPromise({ try: () => lines.next(), catch: failed(command) }).pipe(
      Effect.flatMap(({ done, value }) =>
        done === true ? Effect.fail(new Failed({ message: `${command} has ended` })) : Effect.succeed(String(value))
      )
    )
    return {
      next,
      ask: (line: string) => Effect.zipRight(Effect.sync(() => child.stdin.write(`${line}\n`)), next)
    }
  })

const decodeAddress = Schema.decode(Schema.parseJson(Schema.Struct({ url: Schema.String })))

/**
 * A server of this folder, in a Node of its own; it says in its first line where it listens.
 */
export const server = (name: string, ...args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const path = new URL(`programs/${name}`, import.meta.url).pathname
    const loader = name.endsWith(".ts") ? ["--import", "tsx"] : []
    const { next } = yield* conversation(process.execPath, [...loader, path, ...args])
    return yield* Effect.mapError(decodeAddress(yield* next), failed(name))
  })

/**
 * A kernel of Jupyter, asked by its own client: gives the milliseconds that it says a round trip took.
 */
export const ipykernel = Effect.gen(function*() {
  yield* needs(PYTHON, "python3")
  yield* Effect.mapError(
    program(PYTHON, ["-c", "import ipykernel, jupyter_client"]),
    () => new Missing("ipykernel is not installed (Debian: apt-get install python3-ipykernel python3-jupyter-client)")
  )
  const path = new URL("programs/ipykernel.py", import.meta.url).pathname
  const { ask, next } = yield* conversation(PYTHON, [path])
  yield* next
  return Effect.map(ask("1+1"), Number)
})

/**
 * The client of E2B, as its documentation has it, against a server that executes nothing.
 */
export const e2b = Effect.gen(function*() {
  const { Sandbox } = yield* Effect.promise(() => import("@e2b/code-interpreter"))
  const { url } = yield* server("stubE2b.mjs")
  const sandbox = yield* Effect.promise(() =>
    Sandbox.create({ apiUrl: url, sandboxUrl: url, apiKey: `e2b_${"0".repeat(40)}` })
  )
  return Effect.promise(() => sandbox.runCode("1+1"))
})

/**
 * A request to a server of `node:http` alone, which reads JSON and answers with a constant.
 */
export const bareHttp = Effect.gen(function*() {
  const { url } = yield* server("bareHttp.mjs")
  const { Agent, request } = yield* Effect.promise(() => import("undici"))
  const dispatcher = yield* Effect.acquireRelease(
    Effect.sync(() => new Agent()),
    (agent) => Effect.promise(() => agent.close())
  )
  return Effect.promise(async () => {
    const { body } = await request(`${url}/tick`, { dispatcher, method: "POST", body: "{\"code\":\"1+1\"}" })
    return body.json()
  })
})
