/** What must hold between the settings of the store. */
import type { Rule } from './rules.ts'

/** The words of S3_SSE, and what each needs beside it. */
export const encryptionByTheStore: Rule = (values, { faults, warnings }) => {
  if (values.get('STORAGE') !== 's3') return
  const sse = values.get('S3_SSE')
  if (values.isSet('S3_SSE_KMS_KEY_ID') && sse !== 'kms') {
    faults.push(`S3_SSE_KMS_KEY_ID is set, but S3_SSE is ${sse}: give S3_SSE=kms, or leave the key out`)
  }
  if (values.isSet('S3_SSE_CUSTOMER_KEY') && sse !== 'customer') {
    faults.push(`S3_SSE_CUSTOMER_KEY is set, but S3_SSE is ${sse}: give S3_SSE=customer, or leave the key out`)
  }
  if (sse !== 'customer') return
  if (!values.isSet('S3_SSE_CUSTOMER_KEY')) {
    faults.push(
      'S3_SSE_CUSTOMER_KEY is not set, and S3_SSE=customer needs it: give 32 bytes in base64, and keep them, for nobody can read the objects without',
    )
  }
  if (values.get('S3_ENDPOINT')?.startsWith('http:')) {
    warnings.push(
      'S3_SSE is customer and S3_ENDPOINT is http: the key goes over the network in the clear with every request',
    )
  }
}

/** A link shows what the store has to whoever follows it, and nothing of ours is on the way. */
export const downloadsByLink: Rule = (values, { faults, warnings }) => {
  if (values.get('DOWNLOADS') !== 'redirect') {
    if (values.isSet('S3_PUBLIC_ENDPOINT')) warnings.push('S3_PUBLIC_ENDPOINT is not used without DOWNLOADS=redirect')
    return
  }
  const against = [
    ...(values.get('STORAGE') === 'file' ? ['STORAGE=file has no links'] : []),
    ...(values.get('S3_SSE') === 'customer' ? ['S3_SSE=customer needs the key with every request'] : []),
  ]
  for (const reason of against) faults.push(`DOWNLOADS is redirect, but ${reason}: give DOWNLOADS=stream`)
  const link = values.get('S3_PUBLIC_ENDPOINT') ?? values.get('S3_ENDPOINT')
  if (link === null) return
  if (!/[.\]]/.test(new URL(link).hostname) && !values.isSet('S3_PUBLIC_ENDPOINT')) {
    warnings.push(
      `DOWNLOADS is redirect, and links lead to ${link}, a name that clients may not know: give S3_PUBLIC_ENDPOINT`,
    )
  }
  if (link.startsWith('http:') && values.get('PUBLIC_URL')?.startsWith('https:')) {
    warnings.push(
      `DOWNLOADS is redirect from PUBLIC_URL with https to ${link} without: browsers do not follow that. Give an https S3_PUBLIC_ENDPOINT`,
    )
  }
}
