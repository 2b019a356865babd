/**
 * Operations on sandboxes as a whole, and on snapshots of them.
 */
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { type CodeContext, Language } from "../../CodeContext.js"
import { type RequestError, SandboxError, type SandboxSDKError } from "../../Errors.js"
import { decodeArguments, requireId } from "../../internal/arguments.js"
import type { SandboxOperations, SnapshotOperations } from "../../internal/groups.js"
import { sourceOf } from "../../internal/source.js"
import {
  CreateSandboxOptions,
  ExtendSandboxOptions,
  ForkSandboxOptions,
  ListSandboxesOptions,
  SnapshotSandboxOptions
} from "../../Options.js"
import * as Segment from "../../remote/Segment.js"
import type { SandboxInfo } from "../../SandboxInfo.js"
import { type Client, LANGUAGE_LABEL } from "../Client.js"
import { unsupported } from "../Failures.js"
import { Connected, Described, Forked, Listed, Measured, Snapshotted } from "../Protocol.js"
import { none } from "./Unsupported.js"

const { bodyUnsafeJson, del, get, post } = HttpClientRequest

const decodeCreate = decodeArguments(CreateSandboxOptions, "createSandbox")
const decodeList = decodeArguments(ListSandboxesOptions, "listSandboxes")
const decodeExtend = decodeArguments(ExtendSandboxOptions, "extendSandbox")
const decodeSnapshot = decodeArguments(SnapshotSandboxOptions, "snapshotSandbox")
const decodeFork = decodeArguments(ForkSandboxOptions, "forkSandbox")

/** The template of E2B that has an interpreter for each language. */
const INTERPRETER = "code-interpreter-v1"

/** The label under which a name is kept, which the protocol has none for. */
const NAME_LABEL = "sandbox-sdk.name"

/** How long a sandbox lives that has no `expiryTime`: every one ends there, and this is what every plan allows. */
const LIFE_SECONDS = 3_600

/** How many a page has: the most that is given. */
const PAGE = 100

const seconds = (ms: number): number => Math.max(1, Math.ceil(ms / 1_000))

const isLanguage = (text: string | undefined): text is CodeContext["language"] =>
  Language.literals.some((language) => language === text)

/** What the id of a template says of its language; E2B's own have Python first. */
const languageOf = (templateId: string, label: string | undefined) => {
  const named = templateId.split("-")[0]
  return isLanguage(label) ? label : isLanguage(named) ? named : "python"
}

const infoOf = (described: typeof Described.Type): SandboxInfo => {
  const { [LANGUAGE_LABEL]: language, [NAME_LABEL]: name, ...metadata } = described.metadata ?? {}
  const { templateID } = described
  return {
    id: described.sandboxID,
    userId: "e2b",
    ...name === undefined ? {} : { name },
    templateId: templateID,
    templateConfig: {
      name: templateID,
      language: languageOf(templateID, language),
      version: /-(\d[\d.]*)$/.exec(templateID)?.[1] ?? ""
    },
    status: described.state === "paused" ? "paused" : "ready",
    createdAt: described.startedAt.getTime(),
    updatedAt: described.startedAt.getTime(),
    expiresAt: described.endAt.getTime(),
    ...Object.keys(metadata).length === 0 ? {} : { metadata }
  }
}

/** The hosts of a network, as far as the protocol can say them. */
const hostsOf = ({ network }: CreateSandboxOptions): Effect.Effect<ReadonlyArray<string>, SandboxSDKError> => {
  if (network === undefined || network === "none") return Effect.succeed([])
  const split = network.allow.map((one) => /^(.*):(\d+)$/.exec(one))
  const hosts = [...new Set(split.map((parts) => parts?.[1] ?? ""))]
  const isWeb = hosts.every((host) =>
    split.filter((parts) => parts?.[1] === host).map((parts) => parts?.[2]).sort().join() === "443,80"
  )
  return isWeb ? Effect.succeed(hosts) : Effect.fail(unsupported(
    "createSandbox",
    "network",
    "E2B's protocol names hosts without ports, and means the web: allow both 443 and 80 of a host, or none."
  ))
}

/** What was asked for that the protocol cannot say. */
const refuse = (options: CreateSandboxOptions): Effect.Effect<void, SandboxSDKError> =>
  options.resources !== undefined
    ? Effect.fail(unsupported("createSandbox", "resources", "in E2B's protocol a template says what it may use."))
    : options.autoStart === false
    ? Effect.fail(unsupported("createSandbox", "autoStart", "in E2B's protocol every sandbox runs when it is made."))
    : Effect.void

/**
 * Makes the operations.
 */
export const sandboxOperations = (client: Client): SandboxOperations & SnapshotOperations => {
  const { control, controlDone, controlPage, metrics } = client

  const segment = (operation: string, input: unknown) => Effect.flatMap(requireId(operation, input), Segment.sandbox)

  const describe = (operation: string, id: string): Effect.Effect<SandboxInfo, RequestError> =>
    Effect.gen(function*() {
      const described = yield* control(
        { operation, effect: "none", sandboxId: id },
        get(`/sandboxes/${yield* segment(operation, id)}`),
        Described
      )
      return infoOf(described)
    })

  const listed = (query: Readonly<Record<string, string>>): Effect.Effect<ReadonlyArray<SandboxInfo>, RequestError> =>
    Effect.gen(function*() {
      const found: Array<SandboxInfo> = []
      let token: string | undefined
      do {
        const [page, next] = yield* controlPage(
          { operation: "listSandboxes", effect: "none" },
          HttpClientRequest.setUrlParams(get("/v2/sandboxes"), {
            ...query,
            limit: String(PAGE),
            ...token === undefined ? {} : { nextToken: token }
          }),
          Listed,
          "x-next-token"
        )
        found.push(...page.map(infoOf))
        token = next === "" || page.length === 0 ? undefined : next
      } while (token !== undefined)
      return found
    })

  return {
    createSandbox: Effect.fn("SandboxSDK.createSandbox")(function*(input) {
      const options = yield* decodeCreate(input)
      yield* sourceOf(options)
      yield* refuse(options)
      const hosts = yield* hostsOf(options)
      const { expiryTime, fromSnapshot, initialEnvVars, name, templateId } = options
      const language = isLanguage(templateId) && templateId !== "python" ? templateId : undefined
      const metadata = {
        ...options.metadata,
        ...name === undefined ? {} : { [NAME_LABEL]: name },
        ...language === undefined ? {} : { [LANGUAGE_LABEL]: language }
      }
      const connected = yield* control(
        {
          operation: "createSandbox",
          effect: "once",
          missing: fromSnapshot === undefined ? "template_not_found" : "snapshot_not_found",
          refused: "start_failed"
        },
        bodyUnsafeJson(post("/sandboxes"), {
          templateID: fromSnapshot ?? (isLanguage(templateId) ? INTERPRETER : templateId),
          timeout: expiryTime === undefined ? LIFE_SECONDS : seconds(expiryTime),
          metadata,
          envVars: initialEnvVars ?? {},
          secure: true,
          allow_internet_access: false,
          ...hosts.length === 0 ? {} : { network: { allowOut: hosts } }
        }),
        Connected
      )
      yield* client.remember(connected, metadata)
      yield* metrics.sandboxCreated(connected.sandboxID)
      return { sandbox: yield* describe("createSandbox", connected.sandboxID) }
    }, metrics.track("createSandbox")),
    getSandbox: Effect.fn("SandboxSDK.getSandbox")(function*(id) {
      yield* requireId("getSandbox", id)
      return yield* describe("getSandbox", id)
    }, metrics.track("getSandbox")),
    getSandboxStatus: Effect.fn("SandboxSDK.getSandboxStatus")(function*(id) {
      yield* requireId("getSandboxStatus", id)
      return (yield* describe("getSandboxStatus", id)).status
    }, metrics.track("getSandboxStatus")),
    getSandboxMetrics: Effect.fn("SandboxSDK.getSandboxMetrics")(function*(id) {
      const path = yield* segment("getSandboxMetrics", id)
      const measured = yield* control(
        { operation: "getSandboxMetrics", effect: "none", sandboxId: id },
        get(`/sandboxes/${path}/metrics`),
        Measured
      )
      const now = measured.at(-1)
      if (now === undefined) {
        return yield* unsupported("getSandboxMetrics", "id", "the server has not measured this sandbox yet.")
      }
      return {
        sandboxId: id,
        timestamp: now.timestamp.getTime(),
        cpuCount: now.cpuCount,
        cpuUsedPercent: now.cpuUsedPct,
        memoryUsedBytes: now.memUsed,
        memoryCacheBytes: now.memCache,
        memoryLimitBytes: now.memTotal,
        diskUsedBytes: now.diskUsed,
        diskLimitBytes: now.diskTotal
      }
    }, metrics.track("getSandboxMetrics")),
    listSandboxes: Effect.fn("SandboxSDK.listSandboxes")(function*(input) {
      const { metadata = {}, page, pageSize, status } = yield* decodeList(input)
      // A query inside of a query: each side is percent-encoded by itself first.
      const labels = Object.entries(metadata).map((pair) => pair.map(encodeURIComponent).join("=")).join("&")
      const found = yield* listed({ state: "running,paused", ...labels === "" ? {} : { metadata: labels } })
      const wanted = found.filter((one) =>
        (status === undefined || one.status === status) &&
        Object.entries(metadata).every(([name, value]) => one.metadata?.[name] === value)
      ).sort((a, b) => a.createdAt - b.createdAt)
      if (page === undefined && pageSize === undefined) return wanted
      const size = pageSize ?? 10
      return wanted.slice(((page ?? 1) - 1) * size, (page ?? 1) * size)
    }, metrics.track("listSandboxes")),
    startSandbox: none("startSandbox"),
    stopSandbox: none("stopSandbox"),
    pauseSandbox: Effect.fn("SandboxSDK.pauseSandbox")(function*(id) {
      const path = yield* segment("pauseSandbox", id)
      yield* controlDone(
        { operation: "pauseSandbox", effect: "repeatable", sandboxId: id, refused: "stopped" },
        bodyUnsafeJson(post(`/sandboxes/${path}/pause`), {})
      ).pipe(
        // It is paused already.
        Effect.catchIf((error) => error._tag === "SandboxError" && error.code === "stopped", () => Effect.void)
      )
      return yield* describe("pauseSandbox", id)
    }, metrics.track("pauseSandbox")),
    resumeSandbox: Effect.fn("SandboxSDK.resumeSandbox")(function*(id) {
      yield* requireId("resumeSandbox", id)
      const info = yield* describe("resumeSandbox", id)
      if (info.status !== "paused") return info
      yield* client.wake("resumeSandbox", id)
      return yield* describe("resumeSandbox", id)
    }, metrics.track("resumeSandbox")),
    extendSandbox: Effect.fn("SandboxSDK.extendSandbox")(function*(id, input) {
      const path = yield* segment("extendSandbox", id)
      const { ms } = yield* decodeExtend({ ms: input })
      yield* controlDone(
        { operation: "extendSandbox", effect: "repeatable", sandboxId: id },
        bodyUnsafeJson(post(`/sandboxes/${path}/timeout`), { timeout: seconds(ms) })
      )
      return yield* describe("extendSandbox", id)
    }, metrics.track("extendSandbox")),
    deleteSandbox: Effect.fn("SandboxSDK.deleteSandbox")(function*(id) {
      yield* requireId("deleteSandbox", id)
      const path = yield* Effect.option(Segment.sandbox(id))
      if (path._tag === "Some") {
        yield* controlDone(
          { operation: "deleteSandbox", effect: "repeatable", sandboxId: id },
          del(`/sandboxes/${path.value}`)
        ).pipe(
          Effect.catchIf((error) => error._tag === "SandboxError" && error.code === "not_found", () => Effect.void)
        )
      }
      yield* client.forget(id)
      yield* metrics.sandboxDeleted(id)
    }, metrics.track("deleteSandbox")),
    getUsage: none("getUsage"),

    snapshotSandbox: Effect.fn("SandboxSDK.snapshotSandbox")(function*(id, input) {
      const { name } = yield* decodeSnapshot(input)
      const path = yield* segment("snapshotSandbox", id)
      const info = yield* describe("snapshotSandbox", id)
      const made = yield* control(
        { operation: "snapshotSandbox", effect: "once", sandboxId: id, refused: "snapshot_failed" },
        bodyUnsafeJson(post(`/sandboxes/${path}/snapshots`), name === undefined ? {} : { name }),
        Snapshotted
      )
      return {
        id: made.snapshotID,
        ...name === undefined ? {} : { name },
        sandboxId: id,
        templateId: info.templateId,
        templateConfig: info.templateConfig,
        createdAt: yield* Clock.currentTimeMillis,
        // The protocol does not say.
        sizeBytes: 0,
        ...info.metadata === undefined ? {} : { metadata: info.metadata }
      }
    }, metrics.track("snapshotSandbox")),
    listSnapshots: none("listSnapshots"),
    deleteSnapshot: Effect.fn("SandboxSDK.deleteSnapshot")(function*(id) {
      yield* requireId("deleteSnapshot", id)
      const path = yield* Effect.option(Segment.snapshot(id))
      if (path._tag === "Some") {
        yield* controlDone(
          { operation: "deleteSnapshot", effect: "repeatable", missing: "snapshot_not_found" },
          del(`/templates/${path.value}`)
        ).pipe(Effect.catchIf(
          (error) => error._tag === "SandboxError" && error.code === "snapshot_not_found",
          () => Effect.void
        ))
      }
    }, metrics.track("deleteSnapshot")),
    forkSandbox: Effect.fn("SandboxSDK.forkSandbox")(function*(id, input) {
      const { count = 1 } = yield* decodeFork({ count: input })
      const path = yield* segment("forkSandbox", id)
      const forks = yield* control(
        { operation: "forkSandbox", effect: "once", sandboxId: id, refused: "start_failed" },
        bodyUnsafeJson(post(`/sandboxes/${path}/fork`), { count, timeout: LIFE_SECONDS }),
        Forked
      )
      const made = forks.flatMap(({ sandbox }) => sandbox === undefined || sandbox === null ? [] : [sandbox])
      if (made.length < count) {
        // All of them, or none.
        yield* Effect.forEach(made, ({ sandboxID }) =>
          Effect.ignore(controlDone(
            { operation: "forkSandbox", effect: "repeatable" },
            del(`/sandboxes/${encodeURIComponent(sandboxID)}`)
          )), { discard: true })
        const why = forks.find(({ error }) => error !== undefined && error !== null)?.error?.message
        return yield* new SandboxError({
          code: "start_failed",
          sandboxId: id,
          message: `${made.length} of ${count} copies were made${why === undefined ? "." : `: ${why}`}`
        })
      }
      return yield* Effect.forEach(made, (fork) =>
        client.remember(fork).pipe(
          Effect.zipRight(metrics.sandboxCreated(fork.sandboxID)),
          Effect.zipRight(describe("forkSandbox", fork.sandboxID))
        ))
    }, metrics.track("forkSandbox"))
  }
}
