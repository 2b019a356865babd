/**
 * The programs of the suite as files of their own.
 */
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { bundle } from "../support/bundle.js"
import type { Programs } from "./ServerProcess.js"

const here = import.meta.dirname

/** A folder that others can pass through, until the scope closes. */
const folder = Effect.acquireRelease(
  Effect.sync(() => {
    const made = Fs.mkdtempSync(Path.join(Os.tmpdir(), "faults-"))
    Fs.chmodSync(made, 0o755)
    return made
  }),
  (made) => Effect.sync(() => Fs.rmSync(made, { recursive: true, force: true }))
)

/** The server, until the scope closes. */
export const programs = Effect.flatMap(folder, (into) =>
  Effect.promise(async (): Promise<Programs> => ({
    server: await bundle(Path.join(here, "program.ts"), into),
    clock: Path.join(here, "clock.mjs")
  })))

/** The suite as a command, until the scope closes. */
export const command = Effect.flatMap(
  folder,
  (into) => Effect.promise(() => bundle(Path.join(here, "command.ts"), into))
)
