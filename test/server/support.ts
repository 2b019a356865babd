import { expect } from "vitest"
import { serve, type ServeOptions } from "../../src/server.js"

export const ALICE = "key-of-alice-5f2c"
export const BOB = "key-of-bob-91ab"

/** A server for one test. */
export const start = (options: ServeOptions = {}) => serve({ port: 0, apiKeys: [ALICE, BOB], ...options })

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly json: any
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Requests as an existing client sends them: `fetch`, JSON, a bearer token. */
export const clientOf = (url: string, key = ALICE) => {
  const send = (
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
    signal?: AbortSignal
  ) =>
    fetch(url + path, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal })
    })
  const request = async (method: string, path: string, body?: unknown, headers?: Record<string, string>) => {
    const response = await send(method, path, body, headers)
    const text = await response.text()
    const answer: Answer = { status: response.status, headers: response.headers, text, json: parse(text) }
    return answer
  }
  return {
    send,
    request,
    /** Makes a sandbox and gives the path of its routes. */
    sandbox: async (options: object = { templateId: "python" }) => {
      const { json, status } = await request("POST", "/api/sandboxes/create", options)
      expect(status).toBe(200)
      return `/api/sandboxes/${json.sandbox.id}`
    }
  }
}

const tags = ["SandboxSDKError", "SandboxError", "TimeoutError", "RateLimitError", "ConnectionError"]

/** What an answer must be that is no success: an error that says what it is, and what is wrong. */
export const expectError = (answer: Answer, status: number, code?: string) => {
  expect(answer.json, `${answer.status} ${answer.text}`).toMatchObject({ message: expect.stringMatching(/\w/) })
  expect(tags).toContain(answer.json._tag)
  expect(answer.headers.get("content-type")).toBe("application/json")
  expect({ status: answer.status, code: answer.json.code }).toEqual({ status, code })
}

/** Waits until something holds. */
export const eventually = async (holds: () => Promise<boolean>, ms = 10_000) => {
  const end = Date.now() + ms
  while (!(await holds())) {
    if (Date.now() > end) {
      throw new Error("It never came to hold.")
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/**
 * What is told by an answer, but for when that was and how many requests are left.
 */
export const shown = ({ headers, status, text }: Answer) => {
  const fields: Record<string, string> = {}
  headers.forEach((value, name) => {
    if (!/^(?:date|x-ratelimit-\w+)$/.test(name)) fields[name] = value
  })
  return { status, fields, limited: headers.has("x-ratelimit-remaining"), text }
}
