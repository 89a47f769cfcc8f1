import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from './provision/command.ts'

/** An authority of a test's own, and the certificates that it signs. */
export interface Authority {
  /** PEM file of its certificate: what a client is told to trust. */
  readonly caFile: string
  /** A key and a certificate for these names (`IP:127.0.0.1`, `DNS:localhost`). */
  issue(name: string, subjectAltName: string): Promise<{ readonly keyFile: string; readonly certFile: string }>
}

const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

/** Makes one with openssl, in `dir`. */
export async function makeAuthority(dir: string): Promise<Authority> {
  await mkdir(dir, { recursive: true })
  const file = (name: string): string => join(dir, name)
  const [key, caFile] = [file('ca.key'), file('ca.pem')]
  const subject = ['-subj', '/CN=authority of a test', '-days', '2']
  await run('openssl', ['req', '-x509', ...CURVE, '-keyout', key, '-out', caFile, ...subject])
  return {
    caFile,
    async issue(name, subjectAltName) {
      const [keyFile, request, certFile, extensions] = ['key', 'csr', 'pem', 'ext'].map((end) => file(`${name}.${end}`))
      if (!keyFile || !request || !certFile || !extensions) throw new Error('four names make four files')
      await run('openssl', ['req', '-new', ...CURVE, '-keyout', keyFile, '-out', request, '-subj', `/CN=${name}`])
      await writeFile(extensions, `subjectAltName=${subjectAltName}\n`)
      const signed = ['-CA', caFile, '-CAkey', key, '-CAcreateserial', '-extfile', extensions, '-days', '2']
      await run('openssl', ['x509', '-req', '-in', request, '-out', certFile, ...signed])
      return { keyFile, certFile }
    },
  }
}
