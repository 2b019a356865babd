/**
 * What this host gives, and what it lacks.
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Path from "node:path"
import * as Bubblewrap from "./Bubblewrap.js"
import * as Docker from "./Docker.js"
import * as Connection from "./docker/Connection.js"
import type { Guarantee } from "./Guarantee.js"
import * as Host from "./Host.js"
import { Isolation } from "./Isolation.js"

/**
 * A program that isolation needs and that is not there, with the Debian package that holds it.
 */
export interface MissingPackage {
  readonly name: string
  readonly debianPackage: string
  readonly purpose: string
}

interface Need extends MissingPackage {
  /** Whether a file of this name in a folder of programs is the one. */
  readonly matches: RegExp
  /** Whether it must be where sandboxes see it. */
  readonly inside: boolean
}

const NEEDS: ReadonlyArray<Need> = [
  {
    name: "bwrap",
    debianPackage: "bubblewrap",
    purpose: "puts each sandbox behind its walls",
    matches: /^bwrap$/,
    inside: false
  },
  {
    name: "python3",
    debianPackage: "python3",
    purpose: "runs the agent in each sandbox, and Python code",
    matches: /^python3(\.\d+)?$/,
    inside: true
  }
]

const SYSTEM_FOLDERS = ["/usr/local/bin", "/usr/bin"]

const isMissing = Effect.fnUntraced(function*({ inside, matches }: Need) {
  const searched = (process.env["PATH"] ?? "").split(":").filter((folder) => Path.isAbsolute(folder))
  for (const folder of inside ? SYSTEM_FOLDERS : [...searched, ...SYSTEM_FOLDERS]) {
    const names = (yield* Host.readFolder(folder)).filter((name) => matches.test(name))
    // A link may lead nowhere.
    const there = yield* Effect.findFirst(names, (name) => Host.exists(Path.join(folder, name)))
    if (Option.isSome(there)) return false
  }
  return true
})

/**
 * The system packages that sandboxes need and that are not installed.
 */
export const missingPackages: Effect.Effect<ReadonlyArray<MissingPackage>> = Effect.filter(NEEDS, isMissing).pipe(
  Effect.map((needs) => needs.map(({ debianPackage, name, purpose }) => ({ debianPackage, name, purpose }))),
  Effect.withSpan("Doctor.missingPackages")
)

/**
 * Tries each guarantee on this host by a real sandbox and tells of each whether it holds, by which mechanism, and what
 * would make it hold. It never fails; `createSandbox` refuses when one of these does not hold.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Bubblewrap, doctor } from "sandbox-sdk/local"
 *
 * const program = Effect.gen(function*() {
 *   for (const guarantee of yield* doctor) {
 *     console.log(guarantee.holds, guarantee.title, guarantee.mechanism)
 *   }
 * })
 *
 * Effect.runPromise(program.pipe(Effect.provide(Bubblewrap.layer())))
 * ```
 */
export const doctor: Effect.Effect<ReadonlyArray<Guarantee>, never, Isolation> = Effect.flatMap(
  Isolation,
  (isolation) => isolation.inspect
).pipe(Effect.withSpan("Doctor.doctor"))

/**
 * Whether there is an engine of containers, for templates with an image.
 */
export const Containers = Schema.Struct({
  available: Schema.Boolean,
  /** What it is and where, or why it cannot be used. */
  detail: Schema.String,
  fix: Schema.optional(Schema.String)
})

/** @category models */
export type Containers = typeof Containers.Type

/**
 * Asks the engine that `DOCKER_HOST` names, else that at the usual socket. It is not needed for anything but images.
 */
export const containers: Effect.Effect<Containers> = Connection.make().pipe(
  Effect.map(({ address, facts }) => ({ available: true, detail: `${facts.name} ${facts.version} at ${address}` })),
  Effect.catchAll(({ fix, reason }) => Effect.succeed({ available: false, detail: reason, fix })),
  Effect.withSpan("Doctor.containers")
)

/**
 * Tries each guarantee in a container of an image.
 */
export const inspectImage = (image: string): Effect.Effect<ReadonlyArray<Guarantee>> =>
  Effect.provide(doctor, Docker.layer({ image }))

/** The isolation that is tried when none is named. */
export const layer: Layer.Layer<Isolation> = Bubblewrap.layer()

/**
 * The same of the isolation that is used when none is named.
 */
export const inspect: Effect.Effect<ReadonlyArray<Guarantee>> = Effect.provide(doctor, layer)
