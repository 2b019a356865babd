/**
 * The bash kernel, seen from the agent: an interactive bash that is fed one run at a time.
 */
import { Writable } from "node:stream"
import { Context, type Decoder, type DecoderHandlers, type Header } from "./contexts.js"
import { type Exit, killGroup } from "./processes.js"

const LONGEST_LINE = 64

const EMPTY = Buffer.alloc(0)

/** The lines that kernel.bash writes, as the messages that other kernels send. */
const makeLineDecoder = ({ onMessage, onViolation }: DecoderHandlers): Decoder => {
  let pending = ""
  return {
    push: (bytes) => {
      const lines = (pending + bytes.toString("latin1")).split("\n")
      pending = lines.pop() ?? ""
      if ([...lines, pending].some((line) => line.length > LONGEST_LINE)) {
        return onViolation()
      }
      for (const line of lines) {
        const [, word, status] = /^([^ ]*)(?: (\d+))?/.exec(line) ?? []
        onMessage({ ev: word, ...(status === undefined ? {} : { exitCode: Number(status) }) }, EMPTY)
      }
    }
  }
}

const quoted = (path: string): string => `'${path.replaceAll("'", "'\\''")}'`

export class BashContext extends Context {
  #begun = false
  #wanted = false
  #commands: Writable | undefined

  protected override makeDecoder(handlers: DecoderHandlers): Decoder {
    return makeLineDecoder(handlers)
  }

  protected start(): void {
    this.execute(
      [this.program("bash"), "--noprofile", "--noediting", "--rcfile", `${this.agent.folder}/kernel.bash`, "-i"],
      this.env,
      { input: "pipe" }
    )
    const commands = this.child?.stdin
    if (commands instanceof Writable) {
      this.#commands = commands
      // That it is gone is told by its end.
      commands.on("error", () => {})
    }
  }

  protected override postRun(
    _run: number,
    env: Readonly<Record<string, string>>,
    { stderr, stdout }: { readonly stdout: string; readonly stderr: string },
    code: Buffer
  ): void {
    const variables = Object.entries(env)
    const fields = [
      String(variables.length),
      ...variables.map(([name, value]) => `${name}=${value}`)
    ].map((field) => Buffer.from(`${field}\0`))
    this.#begun = false
    this.#wanted = false
    // A NUL would end the code; bash itself drops it from what it reads.
    this.post(Buffer.concat([...fields, code.filter((byte) => byte !== 0), Buffer.from("\0")]))
    // Each line is a command of its own: after an interrupt bash goes on with the next one. The code is sourced, not
    // evaluated, because bash then leaves out what it tells humans: numbers of jobs, and that it exits.
    this.#commands?.write(
      "{ __sandbox_begin; } 2>/dev/null\n" +
        `exec 1>${quoted(stdout)} 2>${quoted(stderr)}\n` +
        ". /dev/fd/9 9<<<\"${__sandbox_code-(exit 130)}\" 0</dev/null 3>&-\n" +
        "{ __sandbox_end $?; } 2>/dev/null\n" +
        "exec 1>/dev/null 2>/dev/null\n"
    )
  }

  protected override handle(header: Header, blob: Buffer): void {
    switch (header["ev"]) {
      case "begun": {
        this.#begun = true
        if (this.#wanted) {
          this.#interrupt()
        }
        return
      }
      case "done":
        return this.current === undefined ? undefined : super.handle({ ...header, run: this.current.number }, blob)
      case "ready":
        return super.handle(header, blob)
    }
  }

  protected override signalInterrupt(_run: number): void {
    this.#interrupt()
  }

  #interrupt(): void {
    // Before that it would hit the kernel's own commands.
    if (this.#begun) {
      killGroup(this.pid, "SIGINT")
    } else {
      this.#wanted = true
    }
  }

  /** `exit 3` is an end with a status, not a death. */
  protected override endedByItself({ exitCode }: Exit): number | undefined {
    return exitCode ?? undefined
  }
}
