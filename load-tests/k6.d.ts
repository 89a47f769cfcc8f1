/** What performance-test.js uses of k6, which is a program beside ours and never a dependency. */
declare module 'k6' {
  export function sleep(seconds: number): void
}

declare module 'k6/crypto' {
  const crypto: { sha256(input: string | ArrayBuffer, encoding: 'hex'): string }
  export default crypto
}

declare module 'k6/metrics' {
  type Tags = Readonly<Record<string, string>>
  export class Counter {
    constructor(name: string)
    add(value: number, tags?: Tags): void
  }
  export class Rate {
    constructor(name: string)
    add(value: boolean, tags?: Tags): void
  }
  export class Trend {
    constructor(name: string, isTime?: boolean)
    add(value: number, tags?: Tags): void
  }
}

declare module 'k6/http' {
  export interface Response {
    /** 0: no answer. */
    readonly status: number
    readonly error: string
    readonly headers: Readonly<Record<string, string | undefined>>
    readonly body: string | ArrayBuffer | null
    readonly timings: { readonly duration: number }
  }
  export interface Params {
    headers?: Readonly<Record<string, string>>
    tags?: Readonly<Record<string, string>>
    timeout?: string
    responseType?: 'text' | 'binary' | 'none'
  }
  const http: {
    get(url: string, params?: Params): Response
    head(url: string, params?: Params): Response
    post(url: string, body: ArrayBuffer | null, params?: Params): Response
    patch(url: string, body: ArrayBuffer, params?: Params): Response
    del(url: string, body: null, params?: Params): Response
  }
  export default http
}

/** The environment as k6 has it: `-e NAME=value`. */
declare const __ENV: Readonly<Record<string, string | undefined>>
