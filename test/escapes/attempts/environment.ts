/**
 * Environment variables and commands as a way in.
 */
import { Effect } from "effect"
import { type Attempt, escaped, type Family, held, python, unclear } from "../Attempt.js"

const { raw } = String

/** Variables that make programs run code of somebody else's choice. */
const POISON = {
  PYTHONPATH: "/workspace/evil",
  PYTHONSTARTUP: "/workspace/evil/start.py",
  PYTHONHOME: "/workspace/evil",
  PYTHONUSERBASE: "/workspace/evil",
  LD_PRELOAD: "/workspace/evil/evil.so",
  LD_LIBRARY_PATH: "/workspace/evil",
  LD_AUDIT: "/workspace/evil/evil.so",
  BASH_ENV: "/workspace/evil/evil.sh",
  ENV: "/workspace/evil/evil.sh",
  NODE_OPTIONS: "--require /workspace/evil/evil.js",
  GCONV_PATH: "/workspace/evil",
  PERL5OPT: "-Mevil"
}

const takeover: Attempt = {
  id: "environment-agent",
  title: "Have the agent load code of the workspace when the sandbox starts again",
  wall: "an agent in isolated mode, with an environment of its own",
  make: (arena) =>
    Effect.gen(function*() {
      const id = yield* arena.another({}, POISON)
      const evil = "import os\nopen('/tmp/loaded', 'a').write(str(os.getpid()) + '\\n')\n"
      const modules = [
        "sitecustomize",
        "usercustomize",
        "json",
        "struct",
        "signal",
        "resource",
        "encodings",
        "gc",
        "types"
      ]
      const folders = ["", "evil/", ".local/lib/python3.9/", ".local/lib/python3.11/site-packages/", "sandbox_agent/"]
      for (const folder of folders) {
        for (const name of modules) yield* arena.sdk.writeFile(id, `${folder}${name}.py`, evil)
        yield* arena.sdk.writeFile(id, `${folder}evil.pth`, `import os; ${evil.split("\n")[1] ?? ""}\n`)
      }
      for (const name of [".bashrc", ".profile", ".bash_profile", "evil/evil.sh", "evil/start.py"]) {
        yield* arena.sdk.writeFile(id, name, "echo $$ >> /tmp/loaded\n")
      }
      yield* arena.sdk.stopSandbox(id)
      yield* arena.sdk.startSandbox(id)
      // The agent is the second process; whatever has loaded it has left its number in a /tmp that is new.
      const calm = { LD_PRELOAD: "", LD_AUDIT: "", LD_LIBRARY_PATH: "", BASH_ENV: "" }
      const loaded = yield* arena.sdk.runTerminal(id, "cat /tmp/loaded 2>/dev/null; true", { envs: calm })
      // That it is loaded at all by who does not protect himself: a Python of the user's own.
      const control = yield* arena.sdk.runTerminal(id, "cd /workspace; python3 -c 'import json'; cat /tmp/loaded", {
        envs: { ...calm, PYTHONHOME: "", PYTHONSTARTUP: "" }
      })
      return loaded.split("\n").some((number) => /^[123]$/.test(number))
        ? escaped(`the agent loaded it: ${loaded}`)
        : /\d/.test(control)
        ? held("it is loaded by programs that ask for it, and not by the agent")
        : unclear(`it is never loaded: ${control}`)
    })
}

export const environment: Family = {
  name: "environment",
  title: "Environment and commands",
  attempts: [
    takeover,
    python(
      "environment-host",
      "Find variables of the engine",
      "an environment of its own",
      raw`
known = {"HOME", "PATH", "LANG", "PWD", "MPLBACKEND", "TERM", "SHLVL", "_", "USER", "LOGNAME", "SHELL", "LC_ALL", "LC_CTYPE"}
found = {name: value for name, value in os.environ.items()}
print(found)
done = subprocess.run(["env"], capture_output=True, text=True)
print(done.stdout)
extra = set(found) - known
held(", ".join(sorted(found))) if not extra else escaped(sorted(extra))
`
    ),
    {
      id: "environment-names",
      title: "Smuggle in a variable by another's name or value",
      wall: "names are checked, values are data",
      make: ({ sandboxId, sdk }) =>
        Effect.gen(function*() {
          const names = ["A=B", "A\nB", "", "A\0B", "BASH_FUNC_ls%%", "A B", "1A", "LD_PRELOAD=x\nA", "é"]
          for (const name of names) {
            const exit = yield* Effect.exit(sdk.runTerminal(sandboxId, "env", { envs: { [name]: "x" } }))
            if (exit._tag === "Success") return escaped(`the name ${JSON.stringify(name)} was taken`)
          }
          const values = {
            SHELLSHOCK: "() { :;}; touch /workspace/shocked",
            COMMAND: "$(touch /workspace/shocked)`touch /workspace/shocked`",
            LINES: "a\nPATH=/workspace/evil\nLD_PRELOAD=/x",
            QUOTES: "'; touch /workspace/shocked; echo '"
          }
          for (const language of ["bash", "python", "javascript"] as const) {
            yield* Effect.ignore(sdk.runCode(sandboxId, language === "bash" ? "bash -c true" : "1", {
              language,
              envs: values
            }))
          }
          const said = yield* sdk.runTerminal(sandboxId, "ls /workspace; echo \"$PATH\"; printf '%s' \"$LINES\"", {
            envs: values
          })
          return said.includes("shocked") || /^\/workspace\/evil/m.test(said)
            ? escaped(said)
            : said.includes("LD_PRELOAD=/x")
            ? held("invalid_argument; values arrive as they are")
            : unclear(said)
        })
    },
    {
      id: "environment-commands",
      title: "Break out of an argument into the command around it",
      wall: "arguments travel as data, never in a line of the engine's",
      make: ({ sandboxId, sdk }) =>
        Effect.gen(function*() {
          const evil = [
            "; touch /workspace/broken",
            "$(touch /workspace/broken)",
            "'\ntouch /workspace/broken\n'",
            "`touch broken`"
          ]
          for (const text of evil) {
            for (
              const operation of [
                sdk.runTerminal(sandboxId, "true", { cwd: `/workspace/${text}` }),
                sdk.createCodeContext(sandboxId, { cwd: `/workspace/${text}` }),
                sdk.readFile(sandboxId, text),
                sdk.statFile(sandboxId, text),
                sdk.deleteFile(sandboxId, text),
                sdk.writeFile(sandboxId, `names/${text.replaceAll("/", "_")}`, "x"),
                sdk.runTerminal(sandboxId, "true", { envs: { A: text } })
              ]
            ) {
              yield* Effect.ignore(operation)
            }
          }
          const { refused } = yield* Effect.match(sdk.statFile(sandboxId, "broken"), {
            onFailure: (error) => ({ refused: "code" in error ? error.code : error._tag }),
            onSuccess: () => ({ refused: undefined })
          })
          return refused === undefined ? escaped("a part of an argument was run") : held("nothing of it was run")
        })
    }
  ]
}
