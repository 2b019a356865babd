// A server of the platform, whose endpoints answer with constants. It says in its first line where it listens.
import { HttpApiBuilder, HttpServer } from "@effect/platform"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { createServer } from "node:http"
import { Api } from "./api.js"

const handlers = HttpApiBuilder.group(Api, "sandboxes", (group) =>
  group
    .handle("create", () => Effect.succeed({ id: "sbx", status: "ready" }))
    .handle("run", () => Effect.succeed({ text: "2" })))

const told = Layer.effectDiscard(HttpServer.addressFormattedWith((url) => Console.log(JSON.stringify({ url }))))

Layer.mergeAll(HttpApiBuilder.serve(), told).pipe(
  Layer.provide(HttpApiBuilder.api(Api)),
  Layer.provide(handlers),
  Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
  Layer.launch,
  NodeRuntime.runMain
)
