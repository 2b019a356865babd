/**
 * Where a command's sandboxes are: in this process, or on a server. Both are loaded only when a command runs.
 */
import * as Options from "@effect/cli/Options"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { RequestError } from "../Errors.js"
import type { CreateSandboxOptions } from "../Options.js"
import type { Sandbox } from "../Sandbox.js"
import type { Service } from "../SandboxSDK.js"
import { CliError, Status } from "./CliError.js"

const DEFAULT_SERVER = "http://127.0.0.1:3000"

/**
 * `--server`, of commands that can do without one.
 */
export const optionalServer = Options.text("server").pipe(
  Options.withPseudoName("URL"),
  Options.withDescription("Use this server in place of this machine; SANDBOX_API_KEY holds the key to it"),
  Options.optional
)

/**
 * `--server`, of commands that are about a server's sandboxes.
 */
export const server = Options.text("server").pipe(
  Options.withPseudoName("URL"),
  Options.withDescription(
    `The server; by default SANDBOX_SERVER_URL, else ${DEFAULT_SERVER}. SANDBOX_API_KEY holds the key to it`
  ),
  Options.optional
)

/** What is set to nothing counts as not set. */
const variable = <A>(config: Config.Config<A>, isSet: (value: A) => boolean) =>
  Effect.map(Effect.orElseSucceed(Config.option(config), () => Option.none<A>()), Option.filter(isSet))

const keyOf = (url: string): Effect.Effect<Redacted.Redacted, CliError> =>
  Effect.flatMap(
    variable(Config.redacted("SANDBOX_API_KEY"), (key) => Redacted.value(key) !== ""),
    Option.match({
      onNone: () =>
        new CliError({
          message: `SANDBOX_API_KEY is not set: set it to a key of ${url}.`,
          status: Status.noPermission
        }),
      onSome: Effect.succeed
    })
  )

const local: Effect.Effect<Service, RequestError, Scope.Scope> = Effect.gen(function*() {
  const [{ layerLocal }, { SandboxSDK }] = yield* Effect.promise(() =>
    Promise.all([import("../local.js"), import("../SandboxSDK.js")])
  )
  return Context.get(yield* Layer.build(layerLocal()), SandboxSDK)
})

/**
 * The service of a server. A request that fails is repeated sooner, and less often, than a program would: somebody waits.
 */
const remote = (url: string): Effect.Effect<Service, CliError, Scope.Scope> =>
  Effect.gen(function*() {
    const apiKey = yield* keyOf(url)
    const [{ SandboxConfig }, { SandboxSDK }] = yield* Effect.promise(() =>
      Promise.all([import("../SandboxConfig.js"), import("../SandboxSDK.js")])
    )
    const config = SandboxConfig.layer({ apiKey, serverUrl: url, maxRetries: 2, retryDelay: 200 })
    const context = yield* Effect.mapError(
      Layer.build(Layer.provide(SandboxSDK.layerFetch, config)),
      ({ field, message }) => {
        const [setting, status] = field === "apiKey"
          ? ["SANDBOX_API_KEY", Status.noPermission]
          : [`The URL of the server, ${JSON.stringify(url)},`, Status.usage]
        return new CliError({ message: message.replace(/^SandboxConfig: \w+/, setting), status })
      }
    )
    return Context.get(context, SandboxSDK)
  })

/**
 * The service of the server that `--server` or the environment names.
 */
export const openServer = (
  given: Option.Option<string>
): Effect.Effect<Service, RequestError | CliError, Scope.Scope> =>
  Effect.gen(function*() {
    const set = yield* variable(Config.string("SANDBOX_SERVER_URL"), (url) => url.trim() !== "")
    return yield* remote(Option.getOrElse(Option.orElse(given, () => set), () => DEFAULT_SERVER))
  })

/**
 * The service of that server, or the engine in this process where none is named.
 */
export const open: (given: Option.Option<string>) => Effect.Effect<Service, RequestError | CliError, Scope.Scope> =
  Option.match({ onNone: () => local, onSome: remote })

const handles = Effect.promise(() => Promise.all([import("../Sandbox.js"), import("../SandboxSDK.js")]))

/**
 * A sandbox that is deleted when the scope closes.
 */
export const make = (
  service: Service,
  options: CreateSandboxOptions
): Effect.Effect<Sandbox, RequestError, Scope.Scope> =>
  Effect.flatMap(
    handles,
    ([{ Sandbox }, { SandboxSDK }]) => Effect.provideService(Sandbox.make(options), SandboxSDK, service)
  )

/**
 * A sandbox that is there already, and stays.
 */
export const attach = (service: Service, id: string): Effect.Effect<Sandbox, RequestError> =>
  Effect.flatMap(
    handles,
    ([{ Sandbox }, { SandboxSDK }]) => Effect.provideService(Sandbox.attach(id), SandboxSDK, service)
  )
