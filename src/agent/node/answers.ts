/**
 * What a server answers to a plain request, on its way to the client: unchanged, but that no other request follows.
 */
import { END_OF_HEAD, END_OF_LINE, HOP_BY_HOP, MAX_HEAD } from "./heads.js"

const BEGINNING = "HTTP/"

/** The head of an answer with the word that the connection ends with it. */
const closing = (head: string): string => {
  const [first = "", ...lines] = head.split(END_OF_LINE)
  const kept = lines.filter((line) => {
    const name = line.split(":", 1)[0]?.trim().toLowerCase() ?? ""
    return name === "proxy-authorization" || !HOP_BY_HOP.has(name)
  })
  return [first, ...kept, "Connection: close", "", ""].join("\r\n")
}

export class Answer {
  #held = ""
  #passing = false

  /** Gives what can go on now. */
  feed(data: Buffer): Buffer {
    if (this.#passing) {
      return data
    }
    this.#held += data.toString("latin1")
    let done = ""
    while (!this.#passing) {
      const found = END_OF_HEAD.exec(this.#held)
      if (found === null) {
        if (this.#held.length <= MAX_HEAD && BEGINNING.startsWith(this.#held.slice(0, BEGINNING.length))) {
          break
        }
        this.#passing = true
        continue
      }
      const end = found.index + found[0].length
      const head = this.#held.slice(0, end)
      this.#held = this.#held.slice(end)
      const status = head.startsWith(BEGINNING) ? (head.split(" ")[1] ?? "").slice(0, 3) : ""
      if (!status.startsWith("1") || status === "101") {
        this.#passing = true
      }
      done += status.startsWith("1") || status === "" ? head : closing(head.slice(0, found.index))
    }
    if (this.#passing) {
      done += this.#held
      this.#held = ""
    }
    return Buffer.from(done, "latin1")
  }

  /** What was still held back. */
  end(): Buffer {
    const held = this.#held
    this.#held = ""
    this.#passing = true
    return Buffer.from(held, "latin1")
  }
}
