import { Effect, Layer, Redacted } from "effect"
import { layerE2B } from "../../src/e2b.js"
import { layerLocal } from "../../src/local.js"
import { layerServer, ServerAddress } from "../../src/server.js"
import { conformance } from "./suite.js"

const apiKey = "e2b_0123456789abcdef0123456789abcdef01234567"

/** The same reason for several tests. */
const named = (reason: string, ...titles: ReadonlyArray<string>): Readonly<Record<string, string>> =>
  Object.fromEntries(titles.map((title) => [title, reason]))

const server = layerServer({ port: 0, apiKeys: [Redacted.make(apiKey)], e2b: true }).pipe(
  Layer.provide(layerLocal({ network: "any" }))
)

conformance(
  "E2B's protocol over the embedded engine",
  Layer.unwrapEffect(
    Effect.map(ServerAddress, ({ url }) => layerE2B({ apiKey, apiUrl: url, sandboxUrl: url, home: "/workspace" }))
  ).pipe(Layer.provide(server)),
  {
    unsupported: {
      operations: [
        "startSandbox",
        "stopSandbox",
        "getUsage",
        "listSnapshots",
        "attachBatch",
        "listExecutions",
        "getExecution",
        "cancelExecution",
        "getTemplates",
        "getTemplate",
        "createTemplate",
        "getTemplateBuilds",
        "streamTemplateBuild",
        "deleteTemplate",
        // With one URL for all sandboxes.
        "getPort",
        "getHost",
        "waitForPort",
        "closePort"
      ],
      fields: ["attach", "autoStart", "detached", "detachGraceMs", "envVars", "network", "resources", "signal"],
      untold: {
        ...named(
          "of a sandbox it is told whether it is paused, not whether code runs in it",
          "says that it is running while code runs",
          "stops a sandbox with its files kept, and starts it again, by itself or when told"
        ),
        ...named(
          "output of code is text: what is no UTF-8 is replaced before it is sent",
          "delivers every byte, also those that are no UTF-8, and characters that arrive in pieces"
        ),
        ...named(
          "the text of a string loses its quotes",
          "delivers many and large displayed values, also to a slow consumer",
          "runs JavaScript: state, top-level await, imports, the last value",
          "runs TypeScript",
          "has a default context for each language, made on demand",
          "says kernel_died when Node is ended, with the output so far, and goes on with a fresh one",
          "creates, lists and deletes contexts, each with its own variables and directory"
        ),
        ...named(
          "code has no exit status, and its default context starts in the home folder",
          "runs bash: state kept, exit status as data"
        ),
        ...named(
          "code is stopped by leaving it: when that is done, and whether its state is kept, is not told",
          "stops code at timeoutMs, keeps the context's state, and carries the output so far",
          "kills code that does not heed the interrupt, and says that its state is lost",
          "kills code that does not heed the interrupt of its fiber, or of its stream",
          "stops the code when its fiber is interrupted, and the next run works",
          "stops what is interrupted while its interpreter is starting",
          "stops JavaScript that never ends, and keeps its state",
          "stops JavaScript with the child processes that it waits for, and keeps its state"
        ),
        ...named(
          "of a context it is not told how often its interpreter was replaced",
          "says kernel_died after os._exit, with the output so far, and goes on with a fresh interpreter",
          "says kernel_died after a segmentation fault, with the output so far, and goes on with a fresh interpreter",
          "says kernel_died after SIGKILL, with the output so far, and goes on with a fresh interpreter"
        ),
        ...named(
          "a link that leads out is no more than a permission that is denied",
          "stays in /workspace, whatever path or link it is given",
          "says which of many files it could not write, and leaves that and those after it alone",
          "says which of many files it could not read"
        ),
        ...named(
          "each file is read by a request of its own: thousands take longer than a test may",
          "writes thousands of small files at once, in many folders"
        ),
        ...named("a move is told as an entry that goes and one that comes", "watches a directory"),
        ...named(
          "requests that are made at the same time have no order",
          "runs what is in one context in order, and contexts side by side"
        )
      }
    }
  }
)
