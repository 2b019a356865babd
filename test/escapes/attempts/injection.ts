/**
 * Text that means to be more than text: in headers, in records of streams, in logs, on terminals.
 */
import { Context, Effect, Either, Layer, Logger, LogLevel, Option, Redacted, Schema, type Scope } from "effect"
import { spawn } from "node:child_process"
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { type AnySandboxSDKError, SandboxSDKError } from "../../../src/Errors.js"
import * as Logging from "../../../src/Logging.js"
import { SandboxSDK } from "../../../src/SandboxSDK.js"
import { layerServer, ServerAddress } from "../../../src/server.js"
import type { Arena } from "../Arena.js"
import { type Attempt, escaped, type Family, held, unclear, type Verdict } from "../Attempt.js"

/** The key of the server that {@link serve} starts. */
export const KEY = "key-of-the-suite-5d1c"

/** Ends a line, a header, a record and a JSON text, and says something of its own after each. */
const EVIL =
  "x\r\nSet-Cookie: forged=1\r\n\r\nid: 99\r\ndata: {\"_tag\":\"Ended\",\"seq\":99,\"forged\":true}\r\n\r\n" +
  "{\"_tag\":\"Ended\",\"forged\":true}\n\u2028\u2029\u0085\"}\n{\"level\":\"error\",\"message\":\"forged\"}\n"

/** Moves the cursor, sets the title, clears the screen, hides what follows, turns text around. */
const TERMINAL = "\u001b]0;forged\u0007\u001b[2J\u001b[31m\u009b31m\u202eforged\r\nforged\u001b[8m"

export interface Web {
  readonly url: string
  readonly logs: ReadonlyArray<string>
  readonly send: (method: string, path: string, body?: unknown, accept?: string) => Effect.Effect<
    { readonly status: number; readonly headers: Headers; readonly text: string },
    SandboxSDKError
  >
}

const broken = (cause: unknown) => new SandboxSDKError({ code: "internal", message: String(cause) })

/** A server over the service, with a log. */
export const serve = (arena: Arena): Effect.Effect<Web, SandboxSDKError, Scope.Scope> =>
  Effect.gen(function*() {
    const logs: Array<string> = []
    const logging = Layer.merge(
      Logger.replace(Logger.defaultLogger, Logger.map(Logging.make(), (line) => void logs.push(line))),
      Logger.minimumLogLevel(LogLevel.Debug)
    )
    const context = yield* Layer.build(
      layerServer({ port: 0, apiKeys: [{ key: Redacted.make(KEY), user: "local" }] }).pipe(
        Layer.provide(Layer.succeed(SandboxSDK, arena.sdk)),
        Layer.provide(logging)
      )
    )
    const { url } = Context.get(context, ServerAddress)
    return {
      url,
      logs,
      send: (method, path, body, accept) =>
        Effect.tryPromise({
          try: async () => {
            const response = await fetch(url + path, {
              method,
              headers: {
                authorization: `Bearer ${KEY}`,
                ...(body === undefined ? {} : { "content-type": "application/json" }),
                ...(accept === undefined ? {} : { accept })
              },
              ...(body === undefined ? {} : { body: JSON.stringify(body) })
            })
            return { status: response.status, headers: response.headers, text: await response.text() }
          },
          catch: broken
        })
    }
  })

const attempt = (
  id: string,
  title: string,
  wall: string,
  make: (arena: Arena, web: Web) => Effect.Effect<Verdict, AnySandboxSDKError, Scope.Scope>
): Attempt => ({ id, title, wall, make: (arena) => Effect.flatMap(serve(arena), (web) => make(arena, web)) })

const printing = (text: string) =>
  `import sys; sys.stdout.write(${JSON.stringify(text)}); sys.stderr.write(${JSON.stringify(text)})`

/** The data of server-sent events as a browser reads them (HTML, 9.2.6). */
const events = (text: string): ReadonlyArray<string> =>
  text.split(/\r\n\r\n|\n\n|\r\r/).flatMap((event) => {
    const data = event.split(/\r\n|\n|\r/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5))
    return data.length === 0 ? [] : [data.join("\n")]
  })

const decode = Schema.decodeUnknownEither(Schema.Array(Schema.parseJson(Schema.Struct({
  _tag: Schema.optional(Schema.Unknown),
  seq: Schema.optional(Schema.Unknown),
  text: Schema.optional(Schema.Unknown),
  message: Schema.optional(Schema.Unknown),
  forged: Schema.optional(Schema.Unknown)
}))))

/** What several texts say, if each of them is one JSON object. */
const parsed = (texts: ReadonlyArray<string>) => Option.getOrUndefined(Either.getRight(decode(texts)))

const stream = (id: string, title: string, accept: string, cut: (text: string) => ReadonlyArray<string>) =>
  attempt(
    id,
    title,
    "records are JSON: every control character is escaped",
    ({ sandboxId }, { send }) =>
      Effect.gen(function*() {
        const { headers, status, text } = yield* send(
          "POST",
          `/api/sandboxes/${sandboxId}/execute`,
          { code: printing(EVIL), language: "python" },
          accept
        )
        const records = parsed(cut(text))
        if (status !== 200) return unclear(`${status} ${text}`)
        if (records === undefined) return escaped(`a record is no JSON: ${text.slice(0, 200)}`)
        const forged = records.filter((record) => record["forged"] === true || record["seq"] === 99)
        const ends = records.filter((record) => record["_tag"] === "Ended")
        const printed = records.filter((record) => record["_tag"] === "Stdout").map((record) => record["text"]).join("")
        return forged.length > 0 || ends.length !== 1 || headers.get("set-cookie") !== null
          ? escaped(`${forged.length} records are forged, ${ends.length} ends`)
          : printed === EVIL
          ? held("one record for what was printed")
          : unclear(`printed ${JSON.stringify(printed)}`)
      })
  )

/** Runs the command line on a terminal of its own, and gives every byte that reaches that terminal. */
const onTerminal = (cli: string, args: ReadonlyArray<string>, url: string, cwd: string): Effect.Effect<string> =>
  Effect.async<string>((resume) => {
    const driver = `import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    try:
        data = os.read(fd, 65536)
    except OSError:
        break
    if not data:
        break
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
os.waitpid(pid, 0)`
    const child = spawn("/usr/bin/python3", ["-IS", "-c", driver, process.execPath, cli, ...args], {
      cwd,
      env: {
        PATH: "/usr/bin:/bin",
        HOME: cwd,
        TERM: "xterm",
        NO_COLOR: "1",
        SANDBOX_API_KEY: KEY,
        SANDBOX_SERVER_URL: url
      },
      stdio: ["ignore", "pipe", "ignore"]
    })
    const chunks: Array<Buffer> = []
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk))
    child.once("close", () => resume(Effect.succeed(Buffer.concat(chunks).toString("utf8"))))
  })

/** What a terminal would obey, apart from the codes that the program itself uses to draw over a line. */
const commands = (shown: string): string | undefined =>
  /(?:(?!\u001b\[K|\r\n|\n|\r|\t)[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069])/.exec(
    shown.replace(/\u001b\[(?:K|\?25[hl])/g, "")
  )?.[0]

const terminal = (
  id: string,
  title: string,
  make: (
    arena: Arena,
    web: Web,
    show: (...args: ReadonlyArray<string>) => Effect.Effect<string>,
    folder: string
  ) => Effect.Effect<
    Verdict,
    AnySandboxSDKError,
    Scope.Scope
  >
): Attempt => ({
  id,
  title,
  wall: "the command line shows control characters as U+FFFD",
  make: (arena) =>
    Effect.gen(function*() {
      const cli = yield* arena.cli
      const web = yield* serve(arena)
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(Path.join(tmpdir(), "escapes-cli-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
      )
      return yield* make(arena, web, (...args) => onTerminal(cli, args, web.url, folder), folder)
    })
})

export const injection: Family = {
  name: "injection",
  title: "Headers, records, logs and terminals",
  attempts: [
    {
      ...stream("injection-events", "Forge server-sent events by what is printed", "text/event-stream", events),
      about: "interpreter"
    },
    {
      ...stream(
        "injection-lines",
        "Forge records of a stream by what is printed",
        "application/x-ndjson",
        (text) => text.split("\n").filter((line) => line !== "")
      ),
      about: "interpreter"
    },
    attempt(
      "injection-headers",
      "Forge headers by names and file contents",
      "nothing of a sandbox goes into a header",
      (
        { sandboxId, sdk },
        { send }
      ) =>
        Effect.gen(function*() {
          const path = `evil\r\nSet-Cookie: forged=1\r\n\r\nforged`
          yield* sdk.writeFile(sandboxId, path, EVIL)
          const query = encodeURIComponent(path)
          const base = `/api/sandboxes/${sandboxId}`
          const answers = [
            yield* send("GET", `${base}/files?path=${query}`),
            yield* send("GET", `${base}/files/content?path=${query}`),
            yield* send("GET", `${base}/files/list`),
            yield* send("GET", `${base}/files/stat?path=${query}`),
            yield* send("GET", `${base}/files/content?path=${query}%0d%0aSet-Cookie:%20forged=1`),
            yield* send("GET", `${base}%0d%0aSet-Cookie:%20forged=1`),
            yield* send("POST", "/api/sandboxes/create", {
              templateId: "python\r\nSet-Cookie: forged=1",
              name: EVIL
            })
          ]
          const names = new Set<string>()
          let values = ""
          for (const { headers } of answers) {
            headers.forEach((value, name) => {
              names.add(name)
              values += `${value}\n`
            })
          }
          return names.has("set-cookie") || values.includes("forged")
            ? escaped(`a header was forged: ${[...names].join(", ")}`)
            : answers[1]?.text === EVIL
            ? held([...names].join(", "))
            : unclear(`${answers[1]?.status} ${answers[1]?.text}`)
        })
    ),
    attempt(
      "injection-answers",
      "Forge an answer by a sandbox's name and labels",
      "answers are JSON",
      ({ sdk }, { send }) =>
        Effect.gen(function*() {
          const { text } = yield* send("POST", "/api/sandboxes/create", {
            templateId: "python",
            name: EVIL,
            metadata: { [EVIL]: EVIL }
          })
          const [created] = parsed([text]) ?? []
          const found = (yield* sdk.listSandboxes()).find(({ name }) => name === EVIL)
          if (found === undefined) return unclear(text)
          const { text: listed } = yield* send("GET", "/api/sandboxes")
          yield* sdk.deleteSandbox(found.id)
          const isJson = Either.isRight(
            Schema.decodeUnknownEither(Schema.parseJson(Schema.Array(Schema.Unknown)))(listed)
          )
          return created === undefined || !isJson || found.metadata?.[EVIL] !== EVIL
            ? escaped("an answer is no JSON")
            : held("arrives as it was")
        })
    ),
    attempt(
      "injection-log",
      "Forge lines of the server's log",
      "the log is JSON, a line each",
      ({ sandboxId, sdk }, { logs, send }) =>
        Effect.gen(function*() {
          yield* send("POST", `/api/sandboxes/${sandboxId}/execute`, { code: printing(EVIL), language: "python" })
          yield* send("POST", `/api/sandboxes/${sandboxId}/execute`, {
            code: `raise ValueError(${JSON.stringify(EVIL)})`
          })
          yield* send("GET", `/api/sandboxes/${sandboxId}/files?path=${encodeURIComponent(EVIL)}`)
          yield* send("GET", `/api/${encodeURIComponent(EVIL)}/${encodeURIComponent(TERMINAL)}`)
          yield* send("POST", "/api/sandboxes/create", { templateId: EVIL, name: TERMINAL })
          yield* sdk.runTerminal(sandboxId, `printf '${"x".repeat(10)}\\n'`)
          const records = logs.map((line) => line.includes("\n") ? undefined : parsed([line])?.[0])
          const bad = records.findIndex((record) => record === undefined || record["message"] === "forged")

          const raw = logs.find((line) => /[\u0000-\u001f\u007f-\u009f]/.test(line))
          return bad >= 0 || raw !== undefined
            ? escaped(`a line of the log: ${JSON.stringify(raw ?? logs[bad])}`)
            : logs.length >= 5
            ? held(`${logs.length} lines, each one record`)
            : unclear(`only ${logs.length} lines`)
        })
    ),
    attempt(
      "injection-metrics",
      "Forge samples in the metrics",
      "labels come from the SDK alone",
      ({ sandboxId }, { send }) =>
        Effect.gen(function*() {
          yield* send("POST", `/api/sandboxes/${sandboxId}/execute`, {
            code: `class E(Exception): pass\nE.__name__ = ${JSON.stringify(EVIL)}\nraise E(${JSON.stringify(EVIL)})`
          })
          yield* send("POST", `/api/sandboxes/${sandboxId}/execute`, { code: "1", language: EVIL })
          const { status, text } = yield* send("GET", "/metrics")
          return status !== 200
            ? unclear(`${status}`)
            : text.includes("forged")
            ? escaped(text.slice(0, 300))
            : held("none of it")
        })
    ),
    terminal(
      "injection-list",
      "Drive the terminal of who lists sandboxes",
      ({ sdk }, _, show) =>
        Effect.gen(function*() {
          const { sandbox } = yield* sdk.createSandbox({
            templateId: "python",
            name: TERMINAL,
            metadata: { a: TERMINAL }
          })
          const shown = yield* show("ls")
          yield* sdk.deleteSandbox(sandbox.id)
          const command = commands(shown)
          return !shown.includes(sandbox.id)
            ? unclear(shown)
            : command !== undefined || shown.split("\n").some((line) => line.startsWith("forged"))
            ? escaped(JSON.stringify(shown))
            : held("shown as text")
        })
    ),
    terminal("injection-copy", "Drive the terminal of who copies files, and lead the copy astray", (
      { run, sandboxId, sdk },
      _,
      show,
      folder
    ) =>
      Effect.gen(function*() {
        yield* run(
          "python",
          `import shutil
shutil.rmtree("/workspace/tree", ignore_errors=True)
os.makedirs("/workspace/tree/sub")
name = json.loads(${JSON.stringify(JSON.stringify(TERMINAL))})
open("/workspace/tree/sub/" + name, "w").close()
open("/workspace/tree/a" + name, "w").close()
os.mkfifo("/workspace/tree/fifo" + name)
os.symlink("/etc/passwd", "/workspace/tree/link" + name)
os.symlink("/etc", "/workspace/tree/etc")
open("/workspace/tree/z" + name, "w").close()
os.chmod("/workspace/tree/z" + name, 0)`
        )
        const shown = yield* show("cp", `${sandboxId}:tree`, "copied")
        yield* sdk.runTerminal(sandboxId, "rm -rf tree")
        const names = readdirSync(folder, { recursive: true }).map(String)
        const command = commands(shown)
        return names.some((name) => name.includes("etc") || name.includes("link"))
          ? escaped(`a link was followed: ${names.join(", ")}`)
          : command !== undefined
          ? escaped(JSON.stringify(shown))
          : shown.includes("Left out")
          ? held("shown as text, links left out")
          : unclear(shown)
      })),
    terminal(
      "injection-error",
      "Drive the terminal by the message of an error",
      ({ run, sandboxId }, _, show) =>
        Effect.gen(function*() {
          yield* run(
            "python",
            `name = json.loads(${JSON.stringify(JSON.stringify(TERMINAL))})
os.makedirs("/workspace/errors", exist_ok=True)
open("/workspace/errors/" + name, "w").close()
os.chmod("/workspace/errors/" + name, 0)`
          )
          const shown = yield* show("cp", `${sandboxId}:errors`, "errors")
          const command = commands(shown)
          return command !== undefined
            ? escaped(JSON.stringify(shown))
            : shown.includes("denied")
            ? held("shown as text")
            : unclear(shown)
        })
    )
  ]
}
