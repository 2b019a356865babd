/**
 * Answers requests about ports.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import { Api, Caller } from "../../Api.js"
import type { PortAddress } from "../../Port.js"
import { SandboxSDK } from "../../SandboxSDK.js"
import { about, done } from "../Handlers.js"
import { PortProxy } from "../PortProxy.js"

/**
 * The handlers.
 */
export const layer = HttpApiBuilder.group(Api, "ports", (handlers) =>
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    const proxy = yield* PortProxy

    const tell = (address: PortAddress) =>
      Effect.gen(function*() {
        const { keyId } = yield* Caller
        return proxy.tell(yield* HttpServerRequest.HttpServerRequest, keyId, address)
      })

    return handlers
      .handle("address", ({ path: { id, port } }) => about(id)(Effect.flatMap(sdk.getPort(id, port), tell)))
      .handle("wait", ({ path: { id, port }, payload }) =>
        about(id)(Effect.flatMap(sdk.waitForPort(id, port, payload), tell)))
      .handle("close", ({ path: { id, port } }) =>
        about(id)(Effect.as(sdk.closePort(id, port), done)))
  }))
