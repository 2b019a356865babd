/**
 * Values that are JSON as they are: what `JSON.stringify` gives reads back as the same value.
 */
import { types } from "node:util"

/** Longest JSON that goes along with a result, in UTF-16 units (about). */
const LONGEST = 1024 * 1024

const DEEPEST = 100

const { getOwnPropertyDescriptor, getPrototypeOf } = Object
const { ownKeys } = Reflect
const { isProxy } = types

/**
 * A copy of plain objects and arrays of modest size; none of anything else. `isTooLong` says that it would be one, but for
 * its size. Runs no code of the value.
 */
export const plainJson = (value: unknown): { readonly json?: object; readonly isTooLong: boolean } => {
  let budget = LONGEST
  const ancestors: Array<object> = []
  const no = Symbol("not plain")
  const copy = (value: unknown): unknown => {
    switch (typeof value) {
      case "boolean":
        budget -= 5
        return value
      case "number":
        budget -= 8
        return Number.isFinite(value) && !Object.is(value, -0) ? value : no
      case "string":
        budget -= value.length + 2
        return value
      case "object":
        budget -= 4
        return value === null ? null : budget < 0 ? no : copyObject(value)
      default:
        return no
    }
  }
  const copyObject = (value: object): unknown => {
    if (ancestors.length >= DEEPEST || ancestors.includes(value) || isProxy(value)) {
      return no
    }
    ancestors.push(value)
    const copied = Array.isArray(value) ? copyArray(value) : copyRecord(value)
    ancestors.pop()
    return copied
  }
  const copyArray = (value: ReadonlyArray<unknown>): unknown => {
    if (getPrototypeOf(value) !== Array.prototype) {
      return no
    }
    if (value.length > budget) {
      budget = -1
      return no
    }
    const items: Array<unknown> = []
    for (const key of ownKeys(value)) {
      if (key === "length") {
        continue
      }
      const item = key === String(items.length) ? copyField(value, key) : no
      if (item === no || budget < 0) {
        return no
      }
      items.push(item)
    }
    return items.length === value.length ? items : no
  }
  const copyRecord = (value: object): unknown => {
    const prototype: unknown = getPrototypeOf(value)
    if (prototype !== Object.prototype && prototype !== null) {
      return no
    }
    const fields: Array<readonly [string, unknown]> = []
    for (const key of ownKeys(value)) {
      if (typeof key === "symbol") {
        return no
      }
      budget -= key.length + 4
      const field = copyField(value, key)
      if (field === no || budget < 0) {
        return no
      }
      fields.push([key, field])
    }
    return Object.fromEntries(fields)
  }
  const copyField = (value: object, key: string): unknown => {
    const descriptor = getOwnPropertyDescriptor(value, key)
    return descriptor !== undefined && "value" in descriptor && descriptor.enumerable === true
      ? copy(descriptor.value)
      : no
  }
  if (typeof value !== "object" || value === null) {
    return { isTooLong: false }
  }
  const copied = copyObject(value)
  return typeof copied === "object" && copied !== null && budget >= 0
    ? { json: copied, isTooLong: false }
    : { isTooLong: budget < 0 }
}
