/**
 * The modules of the agent, compiled once for each Python: otherwise every sandbox compiles all of them again, which takes
 * it as long as the rest of its start.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Spawn from "../isolation/Spawn.js"

/**
 * Files that nobody checks again: their sources do not change, and a check would read each of them
 * (PEP 552, "unchecked hash-based pycs"). Sandboxes run as other users, who may read them and no more.
 */
const PROGRAM = `import compileall, os, py_compile, sys
os.umask(0o022)
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
compileall.compile_dir(sys.argv[1], maxlevels=0, quiet=2, invalidation_mode=mode)`

const TIMEOUT_MS = 60_000

/**
 * Compiles for a Python of this host, by its path, in the background, once. Where that cannot be, nothing is lost but time.
 */
export type Precompile = (python: string) => Effect.Effect<void>

/**
 * Compiles what is in this folder. What is still being compiled when the scope closes is stopped.
 */
export const make = (folder: string): Effect.Effect<Precompile, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    const begun = new Set<string>()
    return (python) =>
      Effect.suspend(() => {
        if (begun.has(python)) return Effect.void
        begun.add(python)
        return Spawn.output({
          command: python,
          // Without `site`, nothing of what is installed on this host has a say.
          args: ["-I", "-S", "-c", PROGRAM, folder],
          env: {},
          timeoutMs: TIMEOUT_MS
        }).pipe(
          Effect.tap(({ exitCode, stderr }) =>
            exitCode === 0 ? Effect.void : Effect.logDebug("The agent could not be compiled").pipe(
              Effect.annotateLogs({ python, stderr })
            )
          ),
          Effect.ignore,
          Effect.withSpan("Precompile"),
          Effect.forkIn(scope),
          Effect.asVoid
        )
      })
  })
