// Templates: those of this machine, one of our own with defaults, and one that installs something once for all its sandboxes.
import { Console, Effect, Stream } from "effect"
import { Sandbox, SandboxSDK } from "sandbox-sdk"
import { layerLocal } from "sandbox-sdk/local"

const program = Effect.gen(function*() {
  const sdk = yield* SandboxSDK

  const { templates, total } = yield* sdk.getTemplates(1, 10)
  yield* Console.log(`${total} templates: ${templates.map((template) => template.id).join(", ")}`)

  const newest = yield* sdk.getTemplate("python")
  const template = yield* sdk.createTemplate({
    name: "Report",
    language: "python",
    version: newest.config.version,
    defaultEnvVars: { REPORT_TITLE: "Weekly numbers" },
    timeoutMs: 5000,
    maxInstances: 1
  })

  yield* Effect.scoped(Effect.gen(function*() {
    const sandbox = yield* Sandbox.make({ templateId: template.id })
    const { execution } = yield* sandbox.runCode("import os; os.environ['REPORT_TITLE']")
    yield* Console.log(`from the template: ${execution.text}`)

    const second = yield* Effect.flip(sdk.createSandbox({ templateId: template.id }))
    yield* Console.log(`no second one: ${second.message}`)
  }))

  yield* sdk.deleteTemplate(template.id)
  const gone = yield* Effect.flip(sdk.getTemplate(template.id))
  yield* Console.log(`gone: ${gone._tag === "SandboxError" ? gone.code : gone._tag}`)

  // With `dependencies: ["numpy"]`, pip or npm would install packages before this command is run.
  const built = yield* sdk.createTemplate({
    name: "Greeter",
    language: "bash",
    version: (yield* sdk.getTemplate("bash")).config.version,
    installCommand: "echo greeting programs; mkdir bin; " +
      "printf '#!/bin/sh\\necho Hello $1, says what the template installed' > bin/greet; chmod +x bin/greet"
  }, { wait: false })
  yield* Stream.runForEach(
    sdk.streamTemplateBuild(built.id),
    (event) => event._tag === "BuildOutput" ? Console.log(`| ${event.text.trimEnd()}`) : Effect.void
  )
  yield* Effect.scoped(Effect.gen(function*() {
    const sandbox = yield* Sandbox.make({ templateId: built.id })
    yield* Console.log((yield* sandbox.runTerminal("greet Ada")).trimEnd())
  }))
})

await Effect.runPromise(program.pipe(Effect.provide(layerLocal())))
