/**
 * The control plane: sandboxes as a whole.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type RequestError, SandboxError } from "../../Errors.js"
import type { Network } from "../../Options.js"
import * as Quotas from "../../Quotas.js"
import type { SandboxInfo } from "../../SandboxInfo.js"
import type { Service } from "../../SandboxSDK.js"
import type { KnownKey } from "../ApiKeys.js"
import type { Caller } from "./Caller.js"
import { answerPlain, malformed, unsupported } from "./Failures.js"
import * as Metrics from "./Metrics.js"
import { HOME } from "./Paths.js"
import { body, empty, json, parameter, query } from "./Requests.js"
import * as Snapshots from "./Snapshots.js"
import { Tokens } from "./Tokens.js"

/** Tells clients what they may ask for: all of what they know. */
const ENVD_VERSION = "0.6.4"

/** How long a sandbox lives where the client does not say (their API's own default is 15). */
const DEFAULT_TIMEOUT_SECONDS = 300

/** The templates that E2B's clients name by themselves, and what they are here. */
const TEMPLATES: Readonly<Record<string, string>> = { "code-interpreter-v1": "python", base: "python" }

const Seconds = Schema.NonNegativeInt

const Create = Schema.Struct({
  templateID: Schema.String,
  timeout: Schema.optional(Seconds),
  metadata: Schema.optional(Schema.NullOr(Schema.Record({ key: Schema.String, value: Schema.String }))),
  envVars: Schema.optional(Schema.NullOr(Schema.Record({ key: Schema.String, value: Schema.String }))),
  network: Schema.optional(Schema.NullOr(Schema.Struct({
    allowOut: Schema.optional(Schema.NullOr(Schema.Array(Schema.String))),
    denyOut: Schema.optional(Schema.NullOr(Schema.Array(Schema.String))),
    rules: Schema.optional(Schema.Unknown),
    egressProxy: Schema.optional(Schema.Unknown),
    maskRequestHost: Schema.optional(Schema.Unknown)
  }))),
  autoPause: Schema.optional(Schema.NullOr(Schema.Boolean)),
  mcp: Schema.optional(Schema.Unknown),
  iam: Schema.optional(Schema.Unknown),
  volumeMounts: Schema.optional(Schema.NullOr(Schema.Array(Schema.Unknown)))
})

const Timeout = Schema.Struct({ timeout: Schema.optional(Seconds), memory: Schema.optional(Schema.Boolean) })

const Listing = Schema.Struct({
  metadata: Schema.optional(Schema.String),
  state: Schema.optional(Schema.Union(Schema.String, Schema.Array(Schema.String))),
  startedAfter: Schema.optional(Schema.String),
  template: Schema.optional(Schema.String),
  order: Schema.optional(Schema.String),
  limit: Schema.optional(Schema.NumberFromString),
  nextToken: Schema.optional(Schema.String)
})

/** The most that one page of a listing has. */
const MAX_PAGE = 100

/** The features that a request asks for and that are not here: the first of them. */
const missing = (options: typeof Create.Type): string | undefined => {
  const { network } = options
  const asked: Readonly<Record<string, unknown>> = {
    mcp: options.mcp,
    iam: options.iam,
    volumeMounts: options.volumeMounts?.length,
    autoPause: options.autoPause,
    "network.denyOut": network?.denyOut?.length,
    "network.rules": network?.rules,
    "network.egressProxy": network?.egressProxy,
    "network.maskRequestHost": network?.maskRequestHost,
    // Addresses by range: hosts are named here.
    "network.allowOut with a range of addresses": network?.allowOut?.some((host) => host.includes("/"))
  }
  return Object.keys(asked).find((feature) => Boolean(asked[feature]))
}

/** Hosts without a port: for what is asked of the web. */
const networkOf = (hosts: ReadonlyArray<string> | null | undefined): Network | undefined =>
  hosts === undefined || hosts === null || hosts.length === 0
    ? undefined
    : { allow: hosts.flatMap((host) => /:\d+$/.test(host) ? [host] : [`${host}:443`, `${host}:80`]) }

const states = (status: SandboxInfo["status"]): "running" | "paused" | undefined => {
  switch (status) {
    case "creating":
    case "ready":
    case "running":
      return "running"
    case "error":
    case "terminated":
      return undefined
    default:
      // Also one that is stopped: whoever connects to it has it running.
      return "paused"
  }
}

/** A sandbox that never expires ends so far away. */
const NEVER_MS = 365 * 24 * 3_600_000

const identify = ({ id, templateId }: SandboxInfo) => ({
  sandboxID: id,
  templateID: templateId,
  alias: templateId,
  clientID: "sandbox-sdk",
  envdVersion: ENVD_VERSION
})

const describe = (info: SandboxInfo) => {
  const { resources } = info.templateConfig
  return {
    ...identify(info),
    startedAt: new Date(info.createdAt).toISOString(),
    endAt: new Date(info.expiresAt ?? info.createdAt + NEVER_MS).toISOString(),
    state: states(info.status) ?? "running",
    cpuCount: resources?.cpus ?? 1,
    memoryMB: resources?.memoryMb ?? 1_024,
    diskSizeMB: resources?.diskMb ?? 1_024,
    metadata: info.metadata ?? {}
  }
}

const decoded = (text: string): Effect.Effect<string, RequestError> =>
  Effect.try({ try: () => decodeURIComponent(text), catch: () => malformed("metadata", "it is not percent-encoded.") })

/** `k=v&k2=v2`, a query inside of a query, both sides of which were percent-encoded before. */
const labels = (query: string | undefined): Effect.Effect<Readonly<Record<string, string>>, RequestError> =>
  Effect.forEach(
    new URLSearchParams(query ?? ""),
    ([name, value]) => Effect.all([decoded(name), decoded(value)])
  ).pipe(Effect.map((pairs) => Object.fromEntries<string>(pairs)))

/**
 * The routes.
 */
export const routes = (sdk: Service, caller: Caller) =>
  Effect.gen(function*() {
    const quotas = yield* Quotas.Quotas
    const tokens = yield* Tokens

    const credentials = ({ id: keyId }: KnownKey, info: SandboxInfo) => {
      const token = tokens.make(keyId, info.id)
      return {
        ...identify(info),
        envdAccessToken: token,
        trafficAccessToken: token
      }
    }

    const owned = Effect.map(sdk.listSandboxes(), (sandboxes) => sandboxes.length)

    /** What their clients call a template is one of them, or a snapshot, by its id or its name. */
    const origin = (templateId: string) =>
      Effect.gen(function*() {
        if (TEMPLATES[templateId] !== undefined) {
          return { templateId: TEMPLATES[templateId] }
        }
        const snapshots = yield* sdk.listSnapshots()
        // The newest of those that have the name.
        const found = snapshots.find(({ id }) => id === templateId) ??
          [...snapshots].reverse().find(({ name }) => name === templateId)
        return found === undefined ? { templateId } : { fromSnapshot: found.id }
      })

    const create = caller.byKey((who) =>
      Effect.gen(function*() {
        const options = yield* body(Create)
        const feature = missing(options)
        if (feature !== undefined) {
          return yield* unsupported(feature)
        }
        const { envVars, metadata, network, templateID, timeout = DEFAULT_TIMEOUT_SECONDS } = options
        const { sandbox } = yield* quotas.createSandbox(who.user, owned)(sdk.createSandbox({
          ...yield* origin(templateID),
          expiryTime: Math.max(1, timeout) * 1_000,
          initialEnvVars: { HOME, ...envVars },
          metadata: metadata ?? {},
          network: networkOf(network?.allowOut)
        }))
        return json(credentials(who, sandbox), 201)
      })
    )

    /** Makes it run, and lets it live at least that long from now. */
    const connect = (status: number) =>
      caller.byKey((who) =>
        Effect.gen(function*() {
          const id = yield* parameter("id")
          const { timeout = DEFAULT_TIMEOUT_SECONDS } = yield* body(Timeout)
          const before = yield* sdk.getSandbox(id)
          const slept = states(before.status) === "paused"
          const info = before.status === "paused"
            ? yield* sdk.resumeSandbox(id)
            : slept
            ? yield* sdk.startSandbox(id)
            : before
          const now = yield* Clock.currentTimeMillis
          if ((info.expiresAt ?? 0) < now + timeout * 1_000) {
            yield* sdk.extendSandbox(id, Math.max(1, timeout) * 1_000)
          }
          return json(credentials(who, info), slept ? 201 : status)
        })
      )

    const list = caller.byKey(() =>
      Effect.gen(function*() {
        const asked = yield* query(Listing)
        const wanted = [asked.state ?? "running"].flat().flatMap((one) => one.split(","))
        const after = asked.startedAfter === undefined ? 0 : Date.parse(asked.startedAfter)
        const found = (yield* sdk.listSandboxes({ metadata: yield* labels(asked.metadata) }))
          .filter(({ status }) => wanted.includes(states(status) ?? ""))
          .filter(({ createdAt }) => createdAt > after)
          .filter(({ templateId }) =>
            asked.template === undefined || (TEMPLATES[asked.template] ?? asked.template) === templateId
          )
        // The newest first, unless it is to be the other way round.
        const ordered = asked.order === "asc" ? found : [...found].reverse()
        const start = Number(asked.nextToken ?? 0)
        const end = start + Math.min(asked.limit ?? MAX_PAGE, MAX_PAGE)
        return json(ordered.slice(start, end).map(describe), 200, {
          ...end < ordered.length ? { "x-next-token": String(end) } : {}
        })
      })
    )

    const info = caller.byKey(() =>
      Effect.map(Effect.flatMap(parameter("id"), sdk.getSandbox), (found) => json(describe(found)))
    )

    const kill = caller.byKey(() =>
      Effect.gen(function*() {
        const id = yield* parameter("id")
        yield* sdk.getSandbox(id)
        yield* sdk.deleteSandbox(id)
        return empty
      })
    )

    const setTimeout = caller.byKey(() =>
      Effect.gen(function*() {
        const id = yield* parameter("id")
        const { timeout = DEFAULT_TIMEOUT_SECONDS } = yield* body(Timeout)
        // No time left is the end.
        yield* timeout === 0
          ? Effect.zipRight(sdk.getSandbox(id), sdk.deleteSandbox(id))
          : sdk.extendSandbox(id, timeout * 1_000)
        return empty
      })
    )

    const pause = caller.byKey(() =>
      Effect.gen(function*() {
        const id = yield* parameter("id")
        const { memory = true } = yield* body(Timeout)
        const { status } = yield* sdk.getSandbox(id)
        if (states(status) === "paused") {
          return answerPlain(
            new SandboxError({ code: "stopped", message: `The sandbox ${id} is paused already.` }),
            409
          )
        }
        // Without its memory, only the files are kept: that is a sandbox that is stopped.
        yield* memory ? sdk.pauseSandbox(id) : sdk.stopSandbox(id)
        return empty
      })
    )

    const fork = caller.byKey((who) =>
      Effect.gen(function*() {
        const id = yield* parameter("id")
        const { count = 1, timeout = DEFAULT_TIMEOUT_SECONDS } = yield* body(
          Schema.Struct({ count: Schema.optional(Schema.Int), timeout: Schema.optional(Seconds) })
        )
        const forks = yield* quotas.createSandbox(who.user, owned, count)(sdk.forkSandbox(id, count))
        return json(
          yield* Effect.forEach(
            forks,
            (sandbox) =>
              Effect.as(sdk.extendSandbox(sandbox.id, timeout * 1_000), { sandbox: credentials(who, sandbox) })
          )
        )
      })
    )

    const none = (feature: string) => caller.byKey(() => Effect.fail(unsupported(feature)))

    const sandboxes = HttpRouter.empty.pipe(
      HttpRouter.post("/sandboxes", create),
      HttpRouter.post("/v2/sandboxes", create),
      HttpRouter.get("/sandboxes", list),
      HttpRouter.get("/v2/sandboxes", list),
      HttpRouter.get("/sandboxes/:id", info),
      HttpRouter.del("/sandboxes/:id", kill),
      HttpRouter.post("/sandboxes/:id/connect", connect(200)),
      HttpRouter.post("/v2/sandboxes/:id/connect", connect(200)),
      HttpRouter.post("/sandboxes/:id/resume", connect(201)),
      HttpRouter.post("/sandboxes/:id/timeout", setTimeout),
      HttpRouter.post("/sandboxes/:id/pause", pause),
      HttpRouter.post("/sandboxes/:id/fork", fork)
    )

    return sandboxes.pipe(
      HttpRouter.concat(Snapshots.routes(sdk, caller)),
      HttpRouter.put("/sandboxes/:id/network", none("updateNetwork")),
      HttpRouter.concat(Metrics.routes(sdk, caller)),
      HttpRouter.all("/templates", none("templates")),
      HttpRouter.all("/templates/*", none("templates")),
      HttpRouter.all("/v2/templates/*", none("templates")),
      HttpRouter.all("/v3/templates", none("templates")),
      HttpRouter.all("/volumes", none("volumes")),
      HttpRouter.all("/volumes/*", none("volumes")),
      HttpRouter.all("/secrets", none("secrets")),
      HttpRouter.all("/secrets/*", none("secrets"))
    )
  })
