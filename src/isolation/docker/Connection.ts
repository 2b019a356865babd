/**
 * The connection to a Docker Engine, or to Podman's imitation of one, by `dockerode`. That is an optional dependency, which
 * only this module loads, and only when something asks for a container.
 */
import type Dockerode from "dockerode"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { Unavailable } from "../Diagnosis.js"
import * as Packages from "../Packages.js"

/**
 * What the engine refused, or why it could not be asked. `status` is that of its answer (404: there is no such thing),
 * `code` the system's (`ENOENT`, `ECONNREFUSED`).
 */
export class DockerFailure extends Data.TaggedError("DockerFailure")<{
  readonly message: string
  readonly status?: number | undefined
  readonly code?: string | undefined
}> {}

/** `docker info`, as far as it matters here; Podman leaves some of it out. */
const Info = Schema.Struct({
  ServerVersion: Schema.optional(Schema.String),
  Architecture: Schema.String,
  OSType: Schema.optional(Schema.String),
  KernelVersion: Schema.optional(Schema.String),
  MemoryLimit: Schema.optional(Schema.Boolean),
  PidsLimit: Schema.optional(Schema.Boolean),
  CpuCfsQuota: Schema.optional(Schema.Boolean),
  CPUCfsQuota: Schema.optional(Schema.Boolean),
  CgroupVersion: Schema.optional(Schema.String),
  SecurityOptions: Schema.optional(Schema.NullOr(Schema.Array(Schema.String)))
})

const Version = Schema.Struct({
  Components: Schema.optional(Schema.NullOr(Schema.Array(Schema.Struct({ Name: Schema.String }))))
})

/**
 * What is known of an engine.
 */
export interface EngineFacts {
  readonly name: "Docker" | "Podman"
  readonly version: string
  readonly kernel: string
  /** By Docker's name: `amd64`, `arm64`. */
  readonly architecture: string
  readonly limits: { readonly memory: boolean; readonly processes: boolean; readonly cpu: boolean }
  readonly cgroupVersion: string
  /** Whether containers see other user numbers than the host, unless told otherwise. */
  readonly remapsUsers: boolean
}

/**
 * An engine that answers.
 */
export interface Connection {
  /** Where it is, for messages. */
  readonly address: string
  readonly facts: EngineFacts
  /** Asks it something; `what` completes the sentence "it could not …". */
  readonly ask: <A>(
    what: string,
    question: (docker: Dockerode, signal: AbortSignal) => Promise<A>
  ) => Effect.Effect<A, DockerFailure>
}

const DEFAULT_ADDRESS = "unix:///var/run/docker.sock"

/** Docker's names of machines. */
export const architectureOf = (name: string): string =>
  name === "x86_64" ? "amd64" : name === "aarch64" ? "arm64" : name

const load = Effect.tryPromise({
  try: () => import("dockerode").then((module) => module.default),
  catch: () =>
    new Unavailable({
      reason: "The package dockerode, by which the Docker Engine is spoken to, is not installed",
      fix: "npm install dockerode"
    })
})

/** How dockerode is told an address; of the environment's it knows itself. */
const optionsOf = (address: string | undefined): Effect.Effect<Dockerode.DockerOptions, Unavailable> => {
  if (address === undefined) return Effect.succeed({})
  if (address.startsWith("unix://")) return Effect.succeed({ socketPath: address.slice("unix://".length) })
  return Effect.mapError(
    Schema.decode(Schema.URL)(address.replace(/^tcp:/, "http:")),
    () => wrongAddress(address)
  ).pipe(
    Effect.filterOrFail(({ protocol }) => protocol === "http:" || protocol === "https:", () => wrongAddress(address)),
    Effect.map(({ hostname, port, protocol }) => ({
      host: hostname,
      port: Number(port) || (protocol === "https:" ? 2376 : 2375),
      protocol: protocol === "https:" ? "https" : "http"
    }))
  )
}

const wrongAddress = (address: string) =>
  new Unavailable({
    reason: `"${address}" is no address of a Docker Engine`,
    fix: "use one like unix:///var/run/docker.sock, tcp://host:2375 or https://host:2376"
  })

/**
 * Why an engine on another machine is refused: workspaces are folders of this one, and so is what the agent is made of.
 */
export const elsewhere = (address: string, name = "The engine"): Unavailable =>
  new Unavailable({
    reason: `${name} at ${address} is on another machine, or in one of its own, and does not see the files of this one`,
    fix: "run this SDK there (sandbox serve), and reach it over HTTP from here"
  })

const text = (value: unknown): string | undefined => typeof value === "string" ? value : undefined

const failure = (what: string, cause: unknown): DockerFailure => {
  const status = Predicate.hasProperty(cause, "statusCode") ? cause.statusCode : undefined
  const json = Predicate.hasProperty(cause, "json") ? cause.json : undefined
  const said = Predicate.hasProperty(json, "message") ? text(json.message) : undefined
  const message = (said ?? (cause instanceof Error ? cause.message : String(cause)))
    // The client's own words, around those of the engine.
    .replace(/^\(HTTP code \d+\) [a-z ]*- /, "").trim().replace(/\.$/, "")
  return new DockerFailure({
    message: `it could not ${what}: ${message}`,
    status: typeof status === "number" ? status : undefined,
    code: Predicate.hasProperty(cause, "code") ? text(cause.code) : undefined
  })
}

/** Why nobody answers at an address. */
const unreachable = (address: string) =>
  Effect.fnUntraced(function*({ code, message }: DockerFailure) {
    if (code === "EACCES" || code === "EPERM") {
      return yield* new Unavailable({
        reason: `This user may not speak to the Docker Engine at ${address}`,
        fix: "sudo usermod -aG docker \"$USER\", and log in again (members of that group are as good as root)"
      })
    }
    if (code === "ENOENT" || code === "ECONNREFUSED") {
      return yield* new Unavailable({
        reason: `There is no Docker Engine at ${address}`,
        fix: `${yield* Packages.installCommand(["docker.io"])}, and start it: sudo systemctl start docker ` +
          "(another address: DOCKER_HOST)"
      })
    }
    return yield* new Unavailable({
      reason: `The Docker Engine at ${address} does not answer as one: ${message}`,
      fix: "see that DOCKER_HOST is the address of a Docker Engine (docker version)"
    })
  })

const PATIENCE = "30 seconds"

/**
 * Connects, and finds out what it is that answers. `address` is that of the engine; by default what `DOCKER_HOST` names,
 * else the usual socket.
 */
export const make = Effect.fn("Docker.connect")(function*(
  address?: string
): Effect.fn.Return<Connection, Unavailable> {
  const Docker = yield* load
  const shown = address ?? process.env["DOCKER_HOST"] ?? DEFAULT_ADDRESS
  if (shown.startsWith("ssh:")) return yield* elsewhere(shown)
  const options = yield* optionsOf(address)
  const docker = yield* Effect.try({ try: () => new Docker(options), catch: () => wrongAddress(shown) })
  const ask: Connection["ask"] = (what, question) =>
    Effect.tryPromise({ try: (signal) => question(docker, signal), catch: (cause) => failure(what, cause) })

  const { components, info } = yield* Effect.all({
    info: Effect.flatMap(
      ask<unknown>("tell what it is", (docker) => docker.info()),
      Schema.decodeUnknown(Info)
    ),
    components: Effect.flatMap(
      ask<unknown>("tell its version", (docker) => docker.version()),
      Schema.decodeUnknown(Version)
    )
  }).pipe(
    Effect.interruptible,
    Effect.timeoutFail({
      duration: PATIENCE,
      onTimeout: () => new DockerFailure({ message: `it said nothing for ${PATIENCE}` })
    }),
    Effect.catchTags({
      DockerFailure: unreachable(shown),
      ParseError: ({ message }) => unreachable(shown)(new DockerFailure({ message }))
    })
  )
  const isPodman = (components.Components ?? []).some(({ Name }) => Name.startsWith("Podman"))
  const security = info.SecurityOptions ?? []
  if (info.OSType !== undefined && info.OSType !== "linux") {
    return yield* new Unavailable({
      reason: `The engine at ${shown} runs containers of ${info.OSType}`,
      fix: "use one that runs containers of Linux"
    })
  }
  if (security.some((option) => option.startsWith("name=rootless"))) {
    return yield* new Unavailable({
      reason: `The engine at ${shown} is rootless, and gives sandboxes no user numbers of their own`,
      fix: "use one that runs as root (DOCKER_HOST=unix:///var/run/docker.sock), or isolation \"bubblewrap\""
    })
  }
  // Podman says of none of these that it has them.
  const has = (limit: boolean | undefined) => isPodman || limit === true
  return {
    address: shown,
    ask,
    facts: {
      name: isPodman ? "Podman" : "Docker",
      version: info.ServerVersion ?? "unknown",
      kernel: info.KernelVersion ?? "unknown",
      architecture: architectureOf(info.Architecture),
      limits: {
        memory: has(info.MemoryLimit),
        processes: has(info.PidsLimit),
        cpu: has(info.CpuCfsQuota ?? info.CPUCfsQuota)
      },
      cgroupVersion: info.CgroupVersion ?? "unknown",
      remapsUsers: security.some((option) => option.startsWith("name=userns"))
    }
  }
})

/**
 * What becomes of an answer that says "there is no such thing".
 */
export const orNone = <A>(answer: Effect.Effect<A, DockerFailure>): Effect.Effect<Option.Option<A>, DockerFailure> =>
  answer.pipe(
    Effect.asSome,
    Effect.catchIf(({ status }) => status === 404, () => Effect.succeed(Option.none<A>()))
  )
