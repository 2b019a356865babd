/**
 * Which methods a path has: for requests that use another.
 */
import * as HttpApi from "@effect/platform/HttpApi"
import { Api } from "../Api.js"

interface Route {
  readonly method: string
  readonly path: RegExp
}

const routes: ReadonlyArray<Route> = (() => {
  const found: Array<Route> = [
    { method: "GET", path: /^\/docs\/?$/ },
    { method: "GET", path: /^\/openapi\.json\/?$/ }
  ]
  HttpApi.reflect(Api, {
    onGroup: () => undefined,
    onEndpoint: ({ endpoint }) => {
      found.push({ method: endpoint.method, path: new RegExp(`^${endpoint.path.replace(/:\w+/g, "[^/]+")}/?$`) })
    }
  })
  return found
})()

/**
 * The methods of the path of a URL; none when there is no such path.
 */
export const methodsOf = (url: string): ReadonlyArray<string> => {
  const [path = ""] = url.split("?")
  const methods = routes.filter((route) => route.path.test(path)).map((route) => route.method)
  return methods.length === 0 ? [] : [...new Set([...methods, ...(methods.includes("GET") ? ["HEAD"] : [])])]
}
