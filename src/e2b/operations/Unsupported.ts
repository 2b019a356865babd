/**
 * Operations for which E2B's protocol has no words.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { SandboxSDKError } from "../../Errors.js"
import type { ExecutionOperations, TemplateOperations } from "../../internal/groups.js"
import { unsupported } from "../Failures.js"

const error = (operation: string): SandboxSDKError =>
  unsupported(operation, operation, "E2B's protocol has nothing for this; the service of another layer does it.")

/**
 * Fails at once, with `unsupported`.
 */
export const none = (operation: string) => (): Effect.Effect<never, SandboxSDKError> => Effect.fail(error(operation))

const noStream = (operation: string) => (): Stream.Stream<never, SandboxSDKError> => Stream.fail(error(operation))

/**
 * What was run by others, or before: nothing is kept of it there. `attach` is that of processes.
 */
export const executionOperations: Omit<ExecutionOperations, "attach"> = {
  attachBatch: noStream("attachBatch"),
  listExecutions: none("listExecutions"),
  getExecution: none("getExecution"),
  cancelExecution: none("cancelExecution")
}

/**
 * Templates are made by E2B's own tools.
 */
export const templateOperations: TemplateOperations = {
  getTemplates: none("getTemplates"),
  getTemplate: none("getTemplate"),
  createTemplate: none("createTemplate"),
  getTemplateBuilds: none("getTemplateBuilds"),
  streamTemplateBuild: noStream("streamTemplateBuild"),
  deleteTemplate: none("deleteTemplate")
}
