/**
 * What the sandboxes of an engine may be given of the network, at most.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SandboxSDKError } from "../Errors.js"
import { covers, type Endpoint, parseEndpoint, showEndpoint } from "../internal/hosts.js"
import { HostAndPort, type Network } from "../Options.js"
import { specialUse } from "./Addresses.js"

/**
 * - `"public"`: any host of the public Internet.
 * - `"any"`: also an address of this machine or of a private network, where `allow` names that very address.
 * - `{ allow }`: what is listed, and nothing else; an address in the list may be any.
 * - `"none"`: nothing.
 *
 * @category models
 */
export const NetworkPolicy = Schema.Union(
  Schema.Literal("public", "any", "none"),
  Schema.Struct({ allow: Schema.Array(HostAndPort) })
).annotations({ description: "\"public\", \"any\", \"none\" or { allow: [\"host:port\", …] }" })

/**
 * @category models
 */
export type NetworkPolicy = typeof NetworkPolicy.Type

/**
 * The hosts and ports of an `allow` list.
 */
export const endpoints = (network: Network | undefined): ReadonlyArray<Endpoint> =>
  network === undefined || network === "none"
    ? []
    : network.allow.flatMap((text) => Option.toArray(parseEndpoint(text)))

/**
 * Whether a sandbox may be given this.
 *
 * @param own the addresses of this machine
 */
export const permits = (policy: NetworkPolicy, own: ReadonlySet<string>) => {
  if (typeof policy === "object") {
    const most = endpoints(policy)
    return (wanted: Endpoint): boolean => most.some((endpoint) => covers(endpoint, wanted))
  }
  return ({ host, isAddress }: Endpoint): boolean =>
    policy === "any" || (policy === "public" && !(isAddress && (own.has(host) || specialUse(host) !== undefined)))
}

const refuse = (code: "unsupported" | "forbidden", field: string, message: string) =>
  Effect.fail(new SandboxSDKError({ code, field, message: `createSandbox: ${message}` }))

/**
 * Whether a sandbox with this network can be made.
 *
 * Fails with `unsupported` where it could not be enforced, or where the engine gives no sandbox a network, and with
 * `forbidden` for a host that this engine lets no sandbox reach.
 */
export const check = (
  network: Network | undefined,
  engine: { readonly policy: NetworkPolicy; readonly own: ReadonlySet<string>; readonly enforced: boolean }
): Effect.Effect<void, SandboxSDKError> => {
  if (network === undefined) {
    return Effect.void
  }
  if (!engine.enforced) {
    return refuse(
      "unsupported",
      "network",
      "with isolation \"none\" a sandbox has the network of this machine, and `network` cannot be enforced; leave it out, " +
        "or use isolation \"auto\"."
    )
  }
  const wanted = endpoints(network)
  if (wanted.length > 0 && engine.policy === "none") {
    return refuse(
      "unsupported",
      "network",
      "this engine gives no sandbox a network (its own option `network` is \"none\"); leave `network` out."
    )
  }
  const permitted = permits(engine.policy, engine.own)
  const index = wanted.findIndex((endpoint) => !permitted(endpoint))
  const refused = wanted[index]
  return refused === undefined ? Effect.void : refuse(
    "forbidden",
    `network.allow.${index}`,
    typeof engine.policy === "object"
      ? `this engine lets no sandbox reach ${showEndpoint(refused)}; its own option \`network\` lists what it does.`
      : `${
        showEndpoint(refused)
      } is not on the public Internet, and this engine lets no sandbox reach it. Whoever runs ` +
        "the engine can allow such addresses: layerLocal({ network: \"any\" }), sandbox serve --allow-network any."
  )
}
