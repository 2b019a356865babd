/**
 * Runs the suite over the embedded engine in programs of their own: as this user and, when this is root, as an ordinary one.
 */
import { Schema } from "effect"
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import { Guarantee } from "../../src/isolation/Guarantee.js"
import { bundle } from "../support/bundle.js"
import type { Outcome } from "./Arena.js"

/** The ordinary user: the one without rights that every system has. */
export const NOBODY = 65534

const Described = Schema.Struct({
  title: Schema.String,
  attempts: Schema.Array(Schema.Struct({ id: Schema.String, title: Schema.String, wall: Schema.String }))
})

/** A family of attempts, as the program describes it. */
export type Described = typeof Described.Type

const Line = Schema.parseJson(Schema.Struct({
  guarantees: Schema.optional(Schema.Array(Guarantee)),
  families: Schema.optional(Schema.Array(Described)),
  outcome: Schema.optional(Schema.Struct({
    id: Schema.String,
    outcome: Schema.Literal("held", "escaped", "unclear", "soft", "not made"),
    how: Schema.String,
    ms: Schema.Number
  })),
  end: Schema.optional(Schema.Boolean)
}))

const parse = Schema.decodeUnknownSync(Line)

/** An id that no attempt has. */
export class UnknownAttempt extends Error {}

/** The program and the command line, each as one file in a folder that every user can read. */
export interface Bundles {
  readonly folder: string
  readonly program: string
  readonly cli: string
  readonly node: string
  readonly remove: () => void
}

export const makeBundles = async (): Promise<Bundles> => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "escapes-run-"))
  Fs.chmodSync(folder, 0o755)
  const here = import.meta.dirname
  const [program, cli] = await Promise.all([
    bundle(Path.join(here, "program.ts"), folder),
    bundle(Path.resolve(here, "../../src/cli/bin.ts"), folder)
  ])
  return {
    folder,
    program,
    cli,
    node: process.execPath,
    remove: () => Fs.rmSync(folder, { recursive: true, force: true })
  }
}

/** Whether a user without rights can reach a file. */
const isOpenToAll = (path: string): boolean => {
  for (let at = Fs.realpathSync(path); at !== "/"; at = Path.dirname(at)) {
    if ((Fs.statSync(at).mode & 0o001) === 0) return false
  }
  return true
}

/** What one run of the suite gave. */
export interface Run {
  readonly families: ReadonlyArray<Described>
  readonly guarantees: ReadonlyArray<Guarantee>
  readonly outcomes: ReadonlyArray<Outcome>
}

/**
 * Runs the suite, or the attempts with these ids alone. The engine gets something to lose on the way: a secret in its
 * environment, and files that stay open in every child that does not look out.
 *
 * @param signal ends the suite.
 */
export const run = async (
  { cli, folder, node, program }: Bundles,
  user: number | undefined,
  ids: ReadonlyArray<string> = [],
  onOutcome: (outcome: Outcome) => void = () => {},
  signal?: AbortSignal
): Promise<Run> => {
  const scratch = Fs.mkdtempSync(Path.join(folder, "scratch-"))
  Fs.chmodSync(scratch, 0o711)
  if (user !== undefined) Fs.chownSync(scratch, user, user)
  const secret = `canary-${randomBytes(12).toString("hex")}`
  const leak = Path.join(folder, `leak-${randomBytes(4).toString("hex")}`)
  Fs.writeFileSync(leak, secret)
  const open = Fs.openSync(leak, "r")
  const there = Fs.openSync("/", "r")
  let executable = node
  if (user !== undefined && !isOpenToAll(node)) {
    executable = Path.join(folder, "node")
    if (!Fs.existsSync(executable)) Fs.copyFileSync(node, executable)
    Fs.chmodSync(executable, 0o755)
  }
  const inherited: Array<number | "ignore"> = Array.from({ length: 201 - 3 }, () => "ignore")
  inherited[20 - 3] = open
  inherited[21 - 3] = there
  inherited[200 - 3] = open
  const child = spawn(executable, [program, cli, ...ids], {
    cwd: "/",
    env: { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: scratch, TMPDIR: scratch, ENGINE_SECRET: secret },
    stdio: ["ignore", "pipe", "pipe", ...inherited],
    ...(signal === undefined ? {} : { signal, killSignal: "SIGKILL" }),
    ...(user === undefined ? {} : { uid: user, gid: user })
  })
  let errors = ""
  child.stderr?.on("data", (chunk: Buffer) => (errors = (errors + chunk.toString("utf8")).slice(-4000)))
  let guarantees: ReadonlyArray<Guarantee> = []
  let families: ReadonlyArray<Described> = []
  const outcomes: Array<Outcome> = []
  let ended = false
  const reading = (async () => {
    if (child.stdout === null) return
    for await (const text of createInterface({ input: child.stdout })) {
      const line = parse(text)
      guarantees = line.guarantees ?? guarantees
      families = line.families ?? families
      ended ||= line.end === true
      if (line.outcome !== undefined) {
        outcomes.push(line.outcome)
        onOutcome(line.outcome)
      }
    }
  })()
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject)
    child.once("close", resolve)
  })
  await reading
  Fs.closeSync(open)
  Fs.closeSync(there)
  Fs.rmSync(scratch, { recursive: true, force: true })
  if (code === 64) throw new UnknownAttempt(errors.trim())
  if (!ended) throw new Error(`The suite ended early (${code}), after ${outcomes.at(-1)?.id ?? "nothing"}: ${errors}`)
  return { families, guarantees, outcomes }
}
