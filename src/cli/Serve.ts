/**
 * `sandbox serve`: the HTTP server over the engine of this machine.
 */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { randomBytes } from "node:crypto"
import type { PoolSettings } from "../engine/Engine.js"
import type { NetworkPolicy } from "../engine/NetworkPolicy.js"
import type { RequestError } from "../Errors.js"
import type { Network } from "../Options.js"
import type { KnownKey } from "../server/ApiKeys.js"
import { CliError, Status } from "./CliError.js"
import * as KeysFile from "./KeysFile.js"
import * as Output from "./Output.js"
import * as Signals from "./Signals.js"
import * as TemplateFiles from "./TemplateFiles.js"

const host = Options.text("host").pipe(
  Options.withPseudoName("ADDRESS"),
  Options.withDescription("The address to listen at; beyond this machine only with a given key. By default 127.0.0.1"),
  Options.withDefault("127.0.0.1")
)

const port = Options.integer("port").pipe(
  Options.withAlias("p"),
  Options.withPseudoName("PORT"),
  Options.withDescription("The port to listen at, 0 for a free one. By default 3000"),
  Options.withDefault(3000)
)

// As text: a single value of a repeated option is parsed twice, which what is redacted does not survive.
const apiKey = Options.text("api-key").pipe(
  Options.withPseudoName("KEY"),
  Options.withDescription(
    "Whoever has this key may use the server, and sees only what is made with it. Repeatable; other users of this " +
      "machine can see it: SANDBOX_API_KEY, which is read when no key is given here, they cannot. Without any, the " +
      "server makes a key and prints it"
  ),
  Options.repeated,
  Options.map((keys) => keys.map((key) => Redacted.make(key)))
)

const apiKeysFile = Options.text("api-keys-file").pipe(
  Options.withPseudoName("FILE"),
  Options.withDescription(
    "Take the keys from this file: one a line, KEY or sha256:HASH (`printf %s KEY | sha256sum`), and after a space the " +
      "name of its user, if several keys are to be one. When the file changes, keys that are new are let in, and those " +
      "that are gone are revoked and their requests cut off"
  ),
  Options.optional
)

const data = Options.text("data").pipe(
  Options.withPseudoName("DIR"),
  Options.withDescription(
    "Keep sandboxes, their files and templates in this folder; by default they end with the server"
  ),
  Options.optional
)

const templateDir = Options.text("template-dir").pipe(
  Options.withPseudoName("DIR"),
  Options.withDescription("Make a template of every *.json file in this folder, for each key"),
  Options.optional
)

const allowNetwork = Options.text("allow-network").pipe(
  Options.withPseudoName("HOST:PORT"),
  Options.withDescription(
    "Let sandboxes be made that may reach this; what each of them may, its maker says. *.example.org:443 stands for all " +
      "hosts below. Repeatable. In place of a host: public (any host of the Internet, the default), any (private " +
      "addresses too, where they are named), none"
  ),
  Options.repeated
)

const buildNetwork = Options.text("build-network").pipe(
  Options.withPseudoName("HOST:PORT"),
  Options.withDescription(
    "Let builds of templates reach this, as far as --allow-network goes. Repeatable. In place of a host: none. By " +
      "default the registries of pip and npm"
  ),
  Options.repeated
)

const portsUrl = Options.text("ports-url").pipe(
  Options.withPseudoName("URL"),
  Options.withDescription(
    "Where the ports of sandboxes are reached, each under a name of its own: https://sandboxes.example.org for " +
      "https://8000-ID.sandboxes.example.org/. All names below it have to lead here. By default below /api/sandboxes/ID/ports/"
  ),
  Options.optional
)

const pool = Options.text("pool").pipe(
  Options.withPseudoName("[TEMPLATE=]SIZE"),
  Options.withDescription(
    "Keep so many sandboxes of a template started ahead, so that making one takes no time: 4 for four of python, or " +
      "python=4. Repeatable. By default what SANDBOX_POOL says (python=4,node=2), else none"
  ),
  Options.repeated
)

/** What `--pool` says. */
const poolOf = (given: ReadonlyArray<string>): Effect.Effect<PoolSettings | undefined, CliError> =>
  given.length === 0 ? Effect.succeed(undefined) : Effect.map(
    Effect.forEach(given, (one) => {
      const [, templateId = "python", size = "0"] = /^(?:([^=]+)=)?(\d{1,4})$/.exec(one.trim()) ?? []
      return Number(size) >= 1 && Number(size) <= 1_000
        ? Effect.succeed({ templateId, size: Number(size) })
        : new CliError({
          message: `--pool: "${one}" is not a number from 1 to 1000, or TEMPLATE=NUMBER (python=4).`,
          status: Status.usage
        })
    }),
    (templates) => ({ size: 1, templates })
  )

const e2b = Options.boolean("no-e2b").pipe(
  Options.withDescription(
    "Do not speak E2B's protocol, which lets programs that are written for E2B run here unchanged"
  ),
  Options.map((isOff) => !isOff)
)

const isWord = Schema.is(Schema.Literal("public", "any", "none"))

/** What `--allow-network` says. A host that is malformed is refused by the engine. */
const networkOf = (given: ReadonlyArray<string>): Effect.Effect<NetworkPolicy | undefined, CliError> => {
  const [first, ...others] = given
  return first === undefined
    ? Effect.succeed(undefined)
    : isWord(first) && others.length === 0
    ? Effect.succeed(first)
    : given.some(isWord)
    ? new CliError({
      message: "--allow-network: public, any and none stand alone; give one of them, or hosts and ports.",
      status: Status.usage
    })
    : Effect.succeed({ allow: given })
}

/** What `--build-network` says. */
const buildNetworkOf = (given: ReadonlyArray<string>): Effect.Effect<Network | undefined, CliError> =>
  given.length === 0
    ? Effect.succeed(undefined)
    : given.length === 1 && given[0] === "none"
    ? Effect.succeed("none")
    : given.some(isWord)
    ? new CliError({
      message: "--build-network takes hosts and ports, or none alone: pypi.org:443.",
      status: Status.usage
    })
    : Effect.succeed({ allow: given })

const isLoopback = (host: string): boolean => /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/i.test(host)

const fromEnvironment = (name: string) =>
  Config.redacted(name).pipe(
    Config.option,
    Effect.orElseSucceed(() => Option.none<Redacted.Redacted>()),
    Effect.map(Option.filter((key) => Redacted.value(key) !== ""))
  )

const poolVariable = Config.string("SANDBOX_POOL").pipe(
  Config.withDefault(""),
  Effect.orElseSucceed(() => ""),
  Effect.map((text) => text.split(",").filter((part) => part.trim() !== ""))
)

/** Its user stays the same when the next start makes another key, and so do the sandboxes of `--data`. */
const makeKey = Effect.sync(() => ({
  // Of this form because some of E2B's clients take no other.
  key: Redacted.make(`e2b_${randomBytes(20).toString("hex")}`),
  user: "local"
}))

/** What leads programs that are written for E2B here. */
const variables = (url: string, key: string): string =>
  `For programs that use E2B: E2B_API_URL=${url} E2B_SANDBOX_URL=${url} E2B_API_KEY=${key}`

/**
 * The command.
 */
export const command = Command.make(
  "serve",
  { host, port, apiKey, apiKeysFile, data, templateDir, allowNetwork, buildNetwork, portsUrl, pool, e2b },
  (options) =>
    Effect.gen(function*() {
      const inFile = yield* Effect.transposeOption(Option.map(options.apiKeysFile, KeysFile.read))
      if (Option.isSome(inFile) && inFile.value.length === 0) {
        return yield* new CliError({
          message: `There is no key in ${Option.getOrElse(options.apiKeysFile, () => "")}.`,
          status: Status.usage
        })
      }
      const given = options.apiKey.length > 0 || Option.isSome(inFile)
        ? options.apiKey
        : Option.toArray(yield* fromEnvironment("SANDBOX_API_KEY"))
      const known = [...given, ...Option.getOrElse(inFile, () => [])]
      if (known.length === 0 && !isLoopback(options.host)) {
        return yield* new CliError({
          message: `Others can reach ${options.host}: to listen there, set SANDBOX_API_KEY or give --api-key KEY.`,
          status: Status.usage
        })
      }
      const metricsKey = Option.getOrUndefined(yield* fromEnvironment("SANDBOX_METRICS_KEY"))
      const configs = yield* Effect.transposeOption(Option.map(options.templateDir, TemplateFiles.read))
      const network = yield* networkOf(options.allowNetwork)
      const buildNetwork = yield* buildNetworkOf(options.buildNetwork)
      const pool = yield* poolOf(options.pool.length > 0 ? options.pool : yield* poolVariable)
      const made = yield* Effect.when(makeKey, () => known.length === 0)
      const apiKeys = [...known, ...Option.toArray(made)]
      const stopped = yield* Signals.first
      const hangUp = Option.isSome(options.apiKeysFile) ? yield* Signals.hangUp : Effect.never

      const listen = Effect.gen(function*() {
        const [{ layerLocal }, { SandboxSDK }, { ApiKeys, layerServer, ServerAddress }, Keys] = yield* Effect.promise(
          () =>
            Promise.all([
              import("../local.js"),
              import("../SandboxSDK.js"),
              import("../server.js"),
              import("../server/ApiKeys.js")
            ])
        )
        const engine = yield* Layer.build(
          layerLocal({ network, buildNetwork, pool, dataDirectory: Option.getOrUndefined(options.data) })
        )
        const service = Context.get(engine, SandboxSDK)
        const loadTemplates = (keys: ReadonlyArray<KnownKey>) =>
          Effect.forEach(
            new Set(Option.isSome(configs) ? keys.map(({ user }) => user) : []),
            (user) => TemplateFiles.load(service, user, Option.getOrElse(configs, () => [])),
            { discard: true }
          )
        yield* Effect.flatMap(Keys.make(apiKeys), (keys) => Effect.flatMap(keys.list, loadTemplates))
        const server = yield* Layer.build(
          Layer.provide(
            layerServer({
              host: options.host,
              port: options.port,
              apiKeys,
              metricsKey,
              idempotency: { directory: Option.getOrUndefined(options.data) },
              portsUrl: Option.getOrUndefined(options.portsUrl),
              e2b: options.e2b
            }),
            Layer.succeed(SandboxSDK, service)
          )
        )
        if (Option.isSome(made)) {
          yield* Output.line("stdout", `API key: ${Redacted.value(made.value.key)}`)
        }
        if (options.e2b) {
          const key = Option.match(made, { onNone: () => "YOUR_API_KEY", onSome: ({ key }) => Redacted.value(key) })
          yield* Output.line("stdout", variables(Context.get(server, ServerAddress).url, key))
        }
        yield* Output.line("stdout", `Listening at ${Context.get(server, ServerAddress).url}`)
        return yield* Option.match(options.apiKeysFile, {
          onNone: () => Effect.never,
          onSome: (file) =>
            KeysFile.follow(file, Context.get(server, ApiKeys), given, { soon: hangUp, onAdded: loadTemplates })
        })
      }).pipe(Effect.mapError(say))

      // The scope of this race closes what was begun, also when the signal comes while it begins.
      yield* Effect.raceFirst(Effect.scoped(listen), stopped)
    }).pipe(Effect.scoped)
).pipe(Command.withDescription("Serve the sandboxes of this machine over HTTP; Ctrl-C lets running requests end first"))

/** Names the options in place of the settings behind them. */
const say = (error: RequestError | CliError): RequestError | CliError => {
  if (error._tag !== "SandboxSDKError") {
    return error
  }
  const message = error.field?.startsWith("buildNetwork") === true
    ? error.message.replace(/^layerLocal: buildNetwork(?:\.allow\.\d+)?/, "--build-network")
    : error.field?.startsWith("network") === true
    ? error.message.replace(/^layerLocal: network(?:\.allow\.\d+)?/, "--allow-network")
    : error.message.replace(/^layerServer: (?:portsUrl(?= ))?/, error.field === "portsUrl" ? "--ports-url" : "")
  return error.code === "invalid_config" || message !== error.message
    ? new CliError({ message, status: Status.usage })
    : error
}
