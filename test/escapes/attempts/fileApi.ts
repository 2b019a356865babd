/**
 * The file operations, led astray by what is in the sandbox.
 */
import { Effect } from "effect"
import type { AnySandboxSDKError } from "../../../src/Errors.js"
import type { Arena } from "../Arena.js"
import { type Attempt, escaped, type Family, held, unclear, type Verdict } from "../Attempt.js"

const CONFINED = "the agent opens by folders that it has checked"
const PATHS = "paths are checked before anything is sent"

/** How often a race is run. */
const ROUNDS = 100

/** How an operation was refused; what it gave, if it was not. */
const outcomeOf = <A>(effect: Effect.Effect<A, AnySandboxSDKError>) =>
  Effect.match(effect, {
    onFailure: (error) => ({ refused: "code" in error ? error.code : error._tag, gave: undefined }),
    onSuccess: (gave) => ({ refused: undefined, gave })
  })

const attempt = (
  id: string,
  title: string,
  wall: string,
  make: (arena: Arena) => Effect.Effect<Verdict, AnySandboxSDKError>,
  options: Partial<Attempt> = {}
): Attempt => ({ id, title, wall, ...options, make })

/** Everything is to be refused; `before` sets the scene with a command. */
export const allRefused = (
  id: string,
  title: string,
  wall: string,
  before: (arena: Arena) => string,
  operations: (arena: Arena) => ReadonlyArray<readonly [string, Effect.Effect<unknown, AnySandboxSDKError>]>
): Attempt =>
  attempt(id, title, wall, (arena) =>
    Effect.gen(function*() {
      yield* arena.sdk.runTerminal(arena.sandboxId, before(arena))
      const reasons = new Set<string>()
      for (const [what, operation] of operations(arena)) {
        const { gave, refused } = yield* outcomeOf(operation)
        if (refused === undefined) return escaped(`${what} worked: ${JSON.stringify(gave)?.slice(0, 150)}`)
        reasons.add(refused)
      }
      return held([...reasons].join(", "))
    }))

/**
 * Something that goes on in the sandbox for as long as an operation is tried again and again. `outside` is a folder out
 * of the workspace with a file `kept`; it must stay as it is, and what is in it must not come out.
 */
const race = (
  id: string,
  title: string,
  swap: string,
  operation: (arena: Arena, round: number) => Effect.Effect<unknown, AnySandboxSDKError>,
  needs: "some successes" | "nothing" = "some successes"
): Attempt =>
  attempt(id, title, CONFINED, (arena) =>
    Effect.gen(function*() {
      const { sandboxId, sdk } = arena
      yield* sdk.runTerminal(
        sandboxId,
        `rm -rf /workspace/* /tmp/outside; mkdir -p /tmp/outside /workspace/real
         echo outside > /tmp/outside/kept; echo inside > /workspace/real/kept
         echo inside > /workspace/file; ln -s /tmp/outside/kept /workspace/filelink; ln -s /tmp/outside /workspace/link`
      )
      const { id: contextId } = yield* sdk.createCodeContext(sandboxId, { language: "python" })
      const swapping = yield* Effect.fork(Effect.exit(sdk.runCode(
        sandboxId,
        `import ctypes, os
libc = ctypes.CDLL(None)
print("begun", flush=True)
open("/workspace/begun", "w").close()
def exchange(a, b):
    # RENAME_EXCHANGE: there is never a moment with neither.
    libc.renameat2(-100, a, -100, b, 2)
while not os.path.exists("/workspace/stop"):
${swap.split("\n").map((line) => `    ${line}`).join("\n")}
`,
        { contextId, timeoutMs: 60_000 }
      )))
      yield* Effect.repeat(Effect.delay(Effect.isSuccess(sdk.statFile(sandboxId, "begun")), "5 millis"), {
        until: (there) => there,
        times: 400
      })
      let successes = 0
      let leaked: string | undefined
      for (let round = 0; round < ROUNDS && leaked === undefined; round++) {
        const { gave, refused } = yield* outcomeOf(operation(arena, round))
        if (refused === undefined) successes++
        if (typeof gave === "string" && gave.includes("outside")) leaked = `round ${round} gave ${gave.slice(0, 100)}`
      }
      yield* sdk.writeFile(sandboxId, "stop", "")
      yield* swapping
      const after = yield* sdk.runTerminal(sandboxId, "cd /tmp/outside && ls -A && cat kept")
      yield* sdk.deleteCodeContext(contextId)
      yield* sdk.runTerminal(sandboxId, "rm -rf /workspace/* /tmp/outside")
      return leaked !== undefined
        ? escaped(leaked)
        : after !== "kept\noutside\n"
        ? escaped(`the folder outside is not as it was: ${after}`)
        : needs === "some successes" && successes === 0
        ? unclear("the operation never came through at all")
        : held(`${successes} of ${ROUNDS} came through, all of them inside`)
    }))

export const fileApi: Family = {
  name: "file operations",
  title: "The file operations",
  attempts: [
    allRefused(
      "api-symlink-host",
      "Read a file of the host by a link",
      "the agent reads, inside",
      ({ host }) => host.told.canaries.map((path, index) => `ln -sfn ${path} host${index}`).join("; "),
      ({ host, sandboxId, sdk }) =>
        host.told.canaries.flatMap((path, index) => [
          ["read the link", sdk.readFile(sandboxId, `host${index}`)],
          ["read the path", sdk.readFile(sandboxId, path)],
          ["list the folder", sdk.listFiles(sandboxId, path.replace(/\/[^/]*$/, ""))],
          ["write to the link", sdk.writeFile(sandboxId, `host${index}`, "planted")]
        ])
    ),
    allRefused(
      "api-symlink-outside",
      "Leave the workspace by a link",
      CONFINED,
      () => "rm -rf l d; ln -sfn /etc/passwd l; ln -sfn /tmp d; ln -sfn / top; echo x > /tmp/there",
      ({ sandboxId: id, sdk }) => [
        ["read", sdk.readFile(id, "l")],
        ["read below", sdk.readFile(id, "d/there")],
        ["read by the root", sdk.readFile(id, "top/etc/passwd")],
        ["bytes", sdk.readFileBytes(id, "d/there")],
        ["write", sdk.writeFile(id, "l", "x")],
        ["write below", sdk.writeFile(id, "d/new", "x")],
        ["list", sdk.listFiles(id, "d")],
        ["stat below", sdk.statFile(id, "d/there")],
        ["delete below", sdk.deleteFile(id, "d/there")],
        ["make below", sdk.makeDirectory(id, "d/folder")],
        ["move into", sdk.moveFile(id, "l", "d/moved")],
        ["move from", sdk.moveFile(id, "d/there", "here")]
      ]
    ),
    allRefused(
      "api-dots",
      "Leave the workspace by its path",
      PATHS,
      () => "true",
      ({ host, sandboxId: id, sdk }) =>
        [
          "../etc/passwd",
          "/workspace/../etc/passwd",
          "a/../../etc/passwd",
          "/etc/passwd",
          "//etc/passwd",
          "/workspace/./../etc/passwd",
          "/workspace/../proc/self/environ",
          "/proc/1/root/etc/passwd",
          "..",
          "/workspace\0/../etc/passwd",
          "~/../../etc/passwd",
          "file:///etc/passwd",
          "%2e%2e/etc/passwd",
          ..."..\\..\\etc\\passwd".split(" "),
          `/workspace/../..${host.told.canaries[0] ?? ""}`
        ].map((path) => [path, sdk.readFile(id, path)] as const)
    ),
    allRefused(
      "api-proc-links",
      "Read the agent's own secrets by links into /proc",
      CONFINED,
      () =>
        "mkdir -p p; cd p; for n in self 1 2; do for f in environ mem maps fd/3 fd/0 root cwd exe; do " +
        "ln -sfn /proc/$n/$f $n-${f/\\//-}; done; done; ln -sfn /proc/self/fd fds; ln -sfn /proc p",
      ({ sandboxId: id, sdk }) => [
        ...["self", "1", "2"].flatMap((number) =>
          ["environ", "mem", "maps", "fd-3", "fd-0", "exe"].map((name) =>
            [`${number} ${name}`, sdk.readFile(id, `p/${number}-${name}`)] as const
          )
        ),
        ["descriptors", sdk.listFiles(id, "p/fds")],
        ["the root", sdk.listFiles(id, "p/self-root")],
        ["processes", sdk.listFiles(id, "p/p")],
        ["write to memory", sdk.writeFile(id, "p/self-mem", "x")]
      ]
    ),
    race(
      "api-race-read",
      "Exchange a file for a link while it is read",
      "exchange(b\"/workspace/file\", b\"/workspace/filelink\")",
      ({ sandboxId, sdk }) => sdk.readFile(sandboxId, "file")
    ),
    race(
      "api-race-read-folder",
      "Exchange a folder for a link while a file in it is read",
      "exchange(b\"/workspace/real\", b\"/workspace/link\")",
      ({ sandboxId, sdk }) => sdk.readFile(sandboxId, "real/kept")
    ),
    race(
      "api-race-write",
      "Exchange a folder for a link while a file is written there",
      "exchange(b\"/workspace/real\", b\"/workspace/link\")",
      ({ sandboxId, sdk }, round) => sdk.writeFile(sandboxId, `real/new${round}`, "x")
    ),
    race(
      "api-race-overwrite",
      "Exchange a folder for a link while a file there is replaced",
      "exchange(b\"/workspace/real\", b\"/workspace/link\")",
      ({ sandboxId, sdk }) => sdk.writeFile(sandboxId, "real/kept", "mine")
    ),
    race(
      "api-race-list",
      "Exchange a folder for a link while it is listed",
      "exchange(b\"/workspace/real\", b\"/workspace/link\")",
      ({ sandboxId, sdk }) =>
        // The file outside is 8 bytes long, the one inside 7.
        Effect.map(sdk.listFiles(sandboxId, "real"), ({ files }) =>
          files.some(({ name, size }) => name === "kept" && size === 8) ? "outside" : "inside")
    ),
    race(
      "api-race-stat",
      "Exchange a folder for a link while an entry is looked at",
      "exchange(b\"/workspace/real\", b\"/workspace/link\")",
      ({ sandboxId, sdk }) =>
        Effect.map(sdk.statFile(sandboxId, "real/kept"), ({ size }) => size === 8 ? "outside" : "inside")
    ),
    race(
      "api-race-delete",
      "Exchange a folder for a link while a file in it is deleted",
      "exchange(b\"/workspace/real\", b\"/workspace/link\")\nopen(\"/workspace/real/kept\", \"a\").close()",
      ({ sandboxId, sdk }) => sdk.deleteFile(sandboxId, "real/kept"),
      "nothing"
    ),
    race(
      "api-race-delete-tree",
      "Exchange a folder for a link while it is deleted",
      `os.makedirs("/workspace/tree/real", exist_ok=True)
exchange(b"/workspace/tree/real", b"/workspace/link")
exchange(b"/workspace/tree/real", b"/workspace/link")`,
      ({ sandboxId, sdk }) => sdk.deleteFile(sandboxId, "tree"),
      "nothing"
    ),
    race(
      "api-race-make",
      "Exchange a folder for a link while a folder is made in it",
      "exchange(b\"/workspace/real\", b\"/workspace/link\")",
      ({ sandboxId, sdk }, round) => sdk.makeDirectory(sandboxId, `real/a${round}/b`)
    ),
    race(
      "api-race-move",
      "Exchange a folder for a link while a file is moved there",
      `exchange(b"/workspace/real", b"/workspace/link")
open("/workspace/moving", "a").close()`,
      ({ sandboxId, sdk }, round) => sdk.moveFile(sandboxId, "moving", `real/moved${round}`),
      "nothing"
    ),
    race(
      "api-race-upload",
      "Exchange a folder for a link in the middle of an upload",
      "exchange(b\"/workspace/real\", b\"/workspace/link\")",
      ({ sandboxId, sdk }, round) => sdk.writeFile(sandboxId, `real/large${round % 3}`, "x".repeat(600_000))
    ),
    attempt(
      "api-special",
      "Hold the agent up with what is no file",
      "opened without waiting, and looked at first",
      (arena) =>
        Effect.gen(function*() {
          const { sandboxId: id, sdk } = arena
          yield* sdk.runTerminal(
            id,
            "rm -rf s; mkdir s; cd s; mkfifo fifo; ln -s /dev/zero zero; ln -s /dev/urandom random; ln -s /dev/tty tty; " +
              "ln -s loop loop; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")'"
          )
          const reasons = new Set<string>()
          for (const name of ["fifo", "zero", "random", "tty", "loop", "socket"]) {
            for (const operation of [sdk.readFile(id, `s/${name}`), sdk.writeFile(id, `s/${name}`, "x")]) {
              const { refused } = yield* outcomeOf(
                Effect.timeout(operation, "10 seconds").pipe(
                  Effect.catchTag("TimeoutException", () => Effect.succeed("held up"))
                )
              )
              if (refused === undefined) return escaped(`${name} was taken for a file`)
              reasons.add(refused)
            }
          }
          const { files } = yield* sdk.listFiles(id, "s")
          return files.length === 6 ? held([...reasons].join(", ")) : unclear(`${files.length} entries`)
        })
    ),
    attempt(
      "api-sparse",
      "Have a file read that is larger than all there is",
      "limit of the size of a file",
      (arena) =>
        Effect.gen(function*() {
          const { sandboxId: id } = arena
          const said = yield* arena.run(
            "python",
            `refused("a terabyte", lambda: os.truncate(os.open("/workspace/sparse", os.O_RDWR | os.O_CREAT), 1 << 40))
refused("from /tmp", lambda: os.ftruncate(os.open("/tmp/sparse", os.O_RDWR | os.O_CREAT), 1 << 40))`
          )
          const size = yield* Effect.map(arena.sdk.statFile(id, "sparse"), (info) => info.size)
          yield* arena.sdk.deleteFile(id, "sparse")
          return size === 0 && said.includes("HELD") && !said.includes("ESCAPED")
            ? held("EFBIG")
            : escaped(`${size} bytes: ${said}`)
        }),
      { alone: {} }
    ),
    attempt(
      "api-names",
      "Confuse by names: line ends, terminal codes, no UTF-8, the longest",
      "names are bytes to the agent",
      (arena) =>
        Effect.gen(function*() {
          const { sandboxId: id, sdk } = arena
          yield* arena.run(
            "python",
            `import shutil
shutil.rmtree("/workspace/names", ignore_errors=True)
os.mkdir("/workspace/names")
for name in (b"a\\r\\nb", b"\\x1b]0;title\\x07", b"\\xff\\xfe", b"n" * 255, b"\\xe2\\x80\\xaeexe.txt", b"-rf", b"..evil", b" ", b"%2e%2e", b"a\\\\b"):
    open(b"/workspace/names/" + name, "w").close()`
          )
          const { files } = yield* sdk.listFiles(id, "names")
          for (const { name, path } of files) {
            if (name.includes("/") || name === ".." || name === "." || path !== `/workspace/names/${name}`) {
              return escaped(`an entry is called ${JSON.stringify(name)} at ${JSON.stringify(path)}`)
            }
            yield* sdk.deleteFile(id, path)
          }
          const left = yield* sdk.listFiles(id, "names")
          for (const path of ["x".repeat(300), `${"d/".repeat(3000)}x`, "x".repeat(100_000)]) {
            const { refused } = yield* outcomeOf(sdk.writeFile(id, path, "x", { createParents: false }))
            if (refused === undefined) return escaped("a name that is too long was taken")
          }
          return files.length === 10 && left.files.length === 0
            ? held("each is one entry, and can be deleted")
            : unclear(`${files.length} entries, ${left.files.length} left`)
        })
    ),
    attempt(
      "api-deep",
      "Exhaust the agent by depth",
      "it stands in one folder at a time",
      (arena) =>
        Effect.gen(function*() {
          const { sandboxId: id, sdk } = arena
          yield* arena.run(
            "python",
            `os.makedirs("/workspace/deep", exist_ok=True)
os.chdir("/workspace/deep")
for _ in range(800):
    os.mkdir("d")
    os.chdir("d")
    open("f", "w").close()`
          )
          yield* sdk.deleteFile(id, "deep")
          const { refused } = yield* outcomeOf(sdk.statFile(id, "deep"))
          return refused === "file_not_found" ? held("deleted, 800 folders deep") : unclear(`${refused}`)
        })
    )
  ]
}
