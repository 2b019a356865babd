/**
 * Images: found or fetched, fit for the engine's machine, and what there is in them.
 */
import * as Array from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Duplex } from "node:stream"
import { SandboxError } from "../../Errors.js"
import { SEARCH_PATH } from "../CommandLine.js"
import type { LaunchResources } from "../Isolation.js"
import * as Runtimes from "../Runtimes.js"
import * as Users from "../Users.js"
import { architectureOf, type Connection, type DockerFailure, orNone } from "./Connection.js"
import type { ContainerOptions } from "./Container.js"
import examination from "./examine.sh?asset"
import * as Pull from "./Pull.js"
import type { Started } from "./Start.js"

/**
 * An image as sandboxes find it.
 */
export interface Image {
  readonly name: string
  readonly id: string
  /** The environment that it sets. */
  readonly variables: Readonly<Record<string, string>>
  readonly volumes: ReadonlyArray<string>
  readonly runtimes: Runtimes.Runtimes
}

/**
 * What is needed to look into an image.
 */
export interface ImagesOptions {
  readonly connection: Connection
  /** Starts a container behind the same walls as a sandbox. */
  readonly start: (
    what: string,
    options: Pick<ContainerOptions, "imageId" | "command" | "user" | "mounts" | "volumes" | "resources">
  ) => Effect.Effect<Started, DockerFailure | SandboxError, Scope.Scope>
}

const Inspected = Schema.Struct({
  Id: Schema.String,
  Architecture: Schema.String,
  Os: Schema.String,
  Config: Schema.optional(Schema.NullOr(Schema.Struct({
    Env: Schema.optional(Schema.NullOr(Schema.Array(Schema.String))),
    Volumes: Schema.optional(Schema.NullOr(Schema.Record({ key: Schema.String, value: Schema.Unknown })))
  })))
})

const unavailable = (message: string) =>
  new SandboxError({ code: "template_unavailable", field: "dockerImage", message })

const inspect = (connection: Connection, name: string) =>
  orNone(connection.ask<unknown>(`look at the image ${name}`, (docker) => docker.getImage(name).inspect())).pipe(
    Effect.flatMap(Option.match({
      onNone: () => Effect.succeed(Option.none<typeof Inspected.Type>()),
      onSome: (found) => Effect.asSome(Schema.decodeUnknown(Inspected)(found))
    })),
    Effect.mapError(({ message }) => unavailable(`The image "${name}" cannot be used: ${message}.`))
  )

/** An id names what is there, and nothing that could be fetched. */
const isId = (name: string): boolean => /^(sha256:)?[0-9a-f]{12,64}$/.test(name)

const fetch = Effect.fn("Docker.pull")(function*(connection: Connection, name: string) {
  yield* Effect.logInfo(`The image ${name} is not here and is pulled`)
  let told = -1
  yield* Pull.pull(connection, name).pipe(
    Stream.runForEach(({ bytes, complete, layers, totalBytes }) => {
      if (complete === told) return Effect.void
      told = complete
      const megabytes = (count: number) => Math.round(count / 1e6)
      return Effect.logInfo(
        `Pulling ${name}: ${complete} of ${layers} layers, ${megabytes(bytes)} of ${megabytes(totalBytes)} MB`
      )
    }),
    Effect.mapError(({ message }) =>
      unavailable(
        `There is no image "${name}" on the machine of ${connection.facts.name} (${connection.address}), and ${message}. ` +
          "Build or pull it there, or correct dockerImage."
      )
    )
  )
})

const find = Effect.fnUntraced(function*(connection: Connection, name: string) {
  const there = yield* inspect(connection, name)
  if (Option.isSome(there)) return there.value
  if (isId(name)) return yield* unavailable(`There is no image with the id "${name}" at ${connection.address}.`)
  yield* fetch(connection, name)
  const fetched = yield* inspect(connection, name)
  return Option.isSome(fetched)
    ? fetched.value
    : yield* unavailable(`The image "${name}" was pulled, and is not there all the same.`)
})

const variablesOf = (all: ReadonlyArray<string>): Readonly<Record<string, string>> =>
  Object.fromEntries(all.map((entry) => {
    const at = entry.indexOf("=")
    return at < 0 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)]
  }))

/** What is looked into an image with. */
const RESOURCES: LaunchResources = {
  memoryMb: 256,
  cpus: 1,
  processes: 32,
  tmpMb: 16,
  openFiles: 256,
  fileSizeMb: 16
}

const PATIENCE = "30 seconds"

const MAX_BYTES = 65_536

/** All that it says, until it ends or says too much: it is a program of the image that says it. */
const answer = (stream: Duplex): Effect.Effect<string> =>
  Effect.async<string>((resume) => {
    const chunks: globalThis.Array<Buffer> = []
    let size = 0
    const end = () => resume(Effect.sync(() => Buffer.concat(chunks).toString("utf8")))
    stream.on("data", (chunk: Buffer) => {
      chunks.push(chunk)
      size += chunk.length
      if (size > MAX_BYTES) end()
    })
    stream.once("close", end)
  })

const KINDS = ["python", "node", "bash"] as const

/** The interpreters that a report tells of, newest first. */
export const parseReport = (report: string): Runtimes.Runtimes => {
  const found = report.split("\n").flatMap((line) => {
    const [, kind, path, version] = /^(python|node|bash) (\/\S+) (\d+\.\d+\.\d+)$/.exec(line) ?? []
    return kind === undefined || path === undefined || version === undefined ? [] : [{ kind, path, version }]
  })
  const [python, node, bash] = KINDS.map((wanted) =>
    Array.sort(
      Array.dedupeWith(
        found.filter(({ kind }) => kind === wanted).map(({ path, version }) => ({ path, version })),
        (a, b) => a.version === b.version
      ),
      Runtimes.byVersion
    )
  )
  return { python: python ?? [], node: node ?? [], bash: bash ?? [] }
}

/** Has a shell of the image tell what there is; an image without a shell has nothing that could be asked. */
const examine = Effect.fn("Docker.examine")(function*(
  options: ImagesOptions,
  image: Omit<Image, "runtimes">
) {
  const user = yield* Users.next
  return yield* options.start("examination", {
    imageId: image.id,
    command: [
      "/bin/sh",
      "-c",
      `PATH='${(image.variables["PATH"] ?? SEARCH_PATH).replaceAll("'", "")}'\n${examination}`
    ],
    user,
    mounts: [],
    volumes: image.volumes,
    resources: RESOURCES
  }).pipe(
    Effect.flatMap(({ stream }) => Effect.interruptible(answer(stream))),
    Effect.timeoutFail({
      duration: PATIENCE,
      onTimeout: () =>
        unavailable(`The programs of the image "${image.name}" did not tell their versions in ${PATIENCE}.`)
    }),
    Effect.catchTag("DockerFailure", ({ message }) =>
      /\/bin\/sh/.test(message)
        ? Effect.succeed("")
        : Effect.fail(unavailable(`The image "${image.name}" cannot be used: ${message}.`))),
    Effect.scoped,
    Effect.map(parseReport)
  )
})

/**
 * Gives images by name. What is in one is looked at once, and remembered by its id. Fails with `template_unavailable`: it is
 * not there and cannot be fetched, or it is for another machine.
 */
export const make = Effect.fnUntraced(function*(options: ImagesOptions) {
  const { connection } = options
  const known = yield* Ref.make<Readonly<Record<string, Runtimes.Runtimes>>>({})
  const one = yield* Effect.makeSemaphore(1)

  return Effect.fn("Docker.image")(function*(name: string): Effect.fn.Return<Image, SandboxError> {
    const found = yield* find(connection, name)
    const { architecture } = connection.facts
    if (architectureOf(found.Architecture) !== architecture || found.Os !== "linux") {
      return yield* unavailable(
        `The image "${name}" is for ${found.Os} on ${found.Architecture}, and ${connection.facts.name} at ` +
          `${connection.address} runs linux on ${architecture}. Use an image that was built for that.`
      )
    }
    const image = {
      name,
      id: found.Id,
      variables: variablesOf(found.Config?.Env ?? []),
      volumes: Object.keys(found.Config?.Volumes ?? {})
    }
    return yield* one.withPermits(1)(Effect.gen(function*() {
      const before = (yield* Ref.get(known))[image.id]
      const runtimes = before ?? (yield* examine(options, image))
      yield* Ref.update(known, (all) => ({ ...all, [image.id]: runtimes }))
      return { ...image, runtimes }
    }))
  })
})
