/**
 * Counts what an engine does, for each of its users.
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import { CurrentUser } from "../CurrentUser.js"
import * as Pulls from "../internal/pulls.js"
import * as Reusing from "../internal/reusing.js"
import * as Metrics from "../Metrics.js"
import type { Service } from "../SandboxSDK.js"

/**
 * Counts.
 */
export interface Meter {
  /** The recorder of a user. */
  readonly of: (userId: string) => Effect.Effect<Metrics.Service>
  /** The operations, each counted as a request of the current user, and what they add up to. */
  readonly measure: (operations: Omit<Service, "getMetrics">) => Service
}

/**
 * Makes a meter.
 */
export const makeMeter: Effect.Effect<Meter, never, Scope.Scope> = Effect.gen(function*() {
  const scope = yield* Effect.scope
  const recorders = new Map<string, Metrics.Service>()

  const of = (userId: string): Effect.Effect<Metrics.Service> =>
    Effect.suspend(() => {
      const known = recorders.get(userId)
      return known === undefined
        ? Metrics.make({ component: "engine" }).pipe(
          Scope.extend(scope),
          Effect.tap((recorder) => recorders.set(userId, recorder))
        )
        : Effect.succeed(known)
    })

  const recorder = Effect.flatMap(CurrentUser, of)

  const one =
    <Args extends ReadonlyArray<unknown>, A, E>(name: string, operation: (...args: Args) => Effect.Effect<A, E>) =>
    (...args: Args): Effect.Effect<A, E> => Effect.flatMap(recorder, ({ track }) => track(name)(operation(...args)))

  const stream =
    <Args extends ReadonlyArray<unknown>, A, E>(name: string, operation: (...args: Args) => Stream.Stream<A, E>) =>
    (...args: Args): Stream.Stream<A, E> =>
      Pulls.unwrap(Effect.map(recorder, ({ trackStream }) => trackStream(name)(operation(...args))))

  const bytesOf = (content: unknown): number =>
    typeof content === "string" ? Buffer.byteLength(content) : content instanceof Uint8Array ? content.length : 0

  const sumOf = (files: ReadonlyArray<{ readonly content: unknown }>): number =>
    files.reduce((sum, { content }) => sum + bytesOf(content), 0)

  const moved = (direction: "in" | "out", count: number) =>
    Effect.flatMap(recorder, ({ bytes }) => bytes(direction, count))

  return {
    of,
    measure: (operations) => ({
      createSandbox: one("createSandbox", operations.createSandbox),
      getSandbox: one("getSandbox", operations.getSandbox),
      getSandboxStatus: one("getSandboxStatus", operations.getSandboxStatus),
      getSandboxMetrics: one("getSandboxMetrics", operations.getSandboxMetrics),
      listSandboxes: one("listSandboxes", operations.listSandboxes),
      startSandbox: one("startSandbox", operations.startSandbox),
      stopSandbox: one("stopSandbox", operations.stopSandbox),
      pauseSandbox: one("pauseSandbox", operations.pauseSandbox),
      resumeSandbox: one("resumeSandbox", operations.resumeSandbox),
      extendSandbox: one("extendSandbox", operations.extendSandbox),
      deleteSandbox: one("deleteSandbox", operations.deleteSandbox),
      runCode: one("runCode", operations.runCode),
      runCodeStream: stream("runCodeStream", operations.runCodeStream),
      // Counted as the `runCode` that it is made of.
      runCodeAs: operations.runCodeAs,
      executeBatch: one("executeBatch", operations.executeBatch),
      executeBatchStream: stream("executeBatchStream", operations.executeBatchStream),
      runTerminal: one("runTerminal", operations.runTerminal),
      runTerminalStream: stream("runTerminalStream", operations.runTerminalStream),
      attach: stream("attach", operations.attach),
      attachBatch: stream("attachBatch", operations.attachBatch),
      listExecutions: one("listExecutions", operations.listExecutions),
      getExecution: one("getExecution", operations.getExecution),
      cancelExecution: one("cancelExecution", operations.cancelExecution),
      startProcess: one("startProcess", operations.startProcess),
      listProcesses: one("listProcesses", operations.listProcesses),
      writeStdin: one("writeStdin", operations.writeStdin),
      closeStdin: one("closeStdin", operations.closeStdin),
      signalProcess: one("signalProcess", operations.signalProcess),
      resizeTerminal: one("resizeTerminal", operations.resizeTerminal),
      readFile: one(
        "readFile",
        (...args) => Effect.tap(operations.readFile(...args), (text) => moved("out", bytesOf(text)))
      ),
      readFileBytes: one(
        "readFileBytes",
        (...args) => Effect.tap(operations.readFileBytes(...args), (bytes) => moved("out", bytes.length))
      ),
      readFileStream: (...args) =>
        Reusing.unwrap(
          Effect.map(recorder, ({ trackBytes, trackStream }) =>
            operations.readFileStream(...args).pipe(
              Reusing.through(trackBytes("out")),
              Reusing.through(trackStream("readFileStream"))
            ))
        ),
      writeFile: one(
        "writeFile",
        (...args) => Effect.tap(operations.writeFile(...args), () => moved("in", bytesOf(args[2])))
      ),
      writeFileStream: (id, path, content, options) =>
        Effect.flatMap(
          recorder,
          ({ track, trackBytes }) =>
            track("writeFileStream")(
              operations.writeFileStream(id, path, Reusing.through(trackBytes("in"))(content), options)
            )
        ),
      writeFiles: one(
        "writeFiles",
        (...args) => Effect.tap(operations.writeFiles(...args), () => moved("in", sumOf(args[1])))
      ),
      readFiles: one(
        "readFiles",
        (...args) => Effect.tap(operations.readFiles(...args), (files) => moved("out", sumOf(files)))
      ),
      deleteFile: one("deleteFile", operations.deleteFile),
      listFiles: one("listFiles", operations.listFiles),
      statFile: one("statFile", operations.statFile),
      makeDirectory: one("makeDirectory", operations.makeDirectory),
      moveFile: one("moveFile", operations.moveFile),
      watchFiles: stream("watchFiles", operations.watchFiles),
      createCodeContext: one("createCodeContext", operations.createCodeContext),
      listCodeContexts: one("listCodeContexts", operations.listCodeContexts),
      deleteCodeContext: one("deleteCodeContext", operations.deleteCodeContext),
      restartCodeContext: one("restartCodeContext", operations.restartCodeContext),
      getPort: one("getPort", operations.getPort),
      getHost: one("getHost", operations.getHost),
      waitForPort: one("waitForPort", operations.waitForPort),
      closePort: one("closePort", operations.closePort),
      getTemplates: one("getTemplates", operations.getTemplates),
      getTemplate: one("getTemplate", operations.getTemplate),
      createTemplate: one("createTemplate", operations.createTemplate),
      getTemplateBuilds: one("getTemplateBuilds", operations.getTemplateBuilds),
      streamTemplateBuild: stream("streamTemplateBuild", operations.streamTemplateBuild),
      deleteTemplate: one("deleteTemplate", operations.deleteTemplate),
      snapshotSandbox: one("snapshotSandbox", operations.snapshotSandbox),
      listSnapshots: one("listSnapshots", operations.listSnapshots),
      deleteSnapshot: one("deleteSnapshot", operations.deleteSnapshot),
      forkSandbox: one("forkSandbox", operations.forkSandbox),
      getUsage: one("getUsage", operations.getUsage),
      getMetrics: Effect.flatMap(recorder, ({ snapshot }) => snapshot)
    })
  }
})
