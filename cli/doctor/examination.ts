import { CliError } from "../errors.ts";
import { addressHeader } from "./checks/addresses.ts";
import { alertReceivers, checkpoints, partitions, seals } from "./checks/audit.ts";
import { encryptionKeys } from "./checks/encryption.ts";
import { exposedSchemas } from "./checks/exposure.ts";
import { extensions } from "./checks/extensions.ts";
import { accessTokenHook, nextHooks, requestHook } from "./checks/hooks.ts";
import { files, hostTenants, version } from "./checks/installation.ts";
import { jobs } from "./checks/jobs.ts";
import { logs } from "./checks/logs.ts";
import { authTriggers, keyRole, ownObjects } from "./checks/objects.ts";
import { policies } from "./checks/policies.ts";
import { functionSecretsOf, vaultSecrets } from "./checks/secrets.ts";
import { guardedTables, tenantTables } from "./checks/tables.ts";
import type { Transaction } from "./connection.ts";
import { type Check, type Context, namesIn } from "./context.ts";
import type { Found } from "./finding.ts";

const checks: Record<string, Check> = {
  extensions,
  jobs,
  requestHook,
  nextHooks,
  accessTokenHook,
  exposedSchemas,
  vaultSecrets,
  functionSecretsOf,
  addressHeader,
  logs,
  ownObjects,
  authTriggers,
  keyRole,
  guardedTables,
  tenantTables,
  policies,
  seals,
  checkpoints,
  partitions,
  alertReceivers,
  encryptionKeys,
  hostTenants,
  version,
  files,
};

/**
 * Carries out all checks. One that fails is a finding of its own, with the SQLSTATE alone: messages
 * of Postgres may quote data.
 * @throws CliError CLI_NOT_IN_DATABASE, CLI_NOT_THE_OWNER.
 */
export async function examine(
  sql: Transaction,
  rest: Pick<Context, "project" | "own">,
): Promise<Found[]> {
  const [schema] = await sql`
    select n.nspowner::regrole::text as owner, pg_has_role(n.nspowner, 'usage') as owned
    from pg_namespace n where n.nspname = 'bulwark'
  `;
  if (!schema) throw new CliError("CLI_NOT_IN_DATABASE", "Bulwark is not in this database", 2);
  if (!schema["owned"]) {
    const owner = schema["owner"];
    const message = `Connect as ${owner}, which owns Bulwark: other roles do not see everything`;
    throw new CliError("CLI_NOT_THE_OWNER", message, 2);
  }
  const names = await namesIn(sql);
  const context = { sql, has: (name: string) => names.has(name), ...rest };
  const found: Found[] = [];
  for (const [name, check] of Object.entries(checks)) {
    try {
      found.push(...await sql.savepoint((inner) => check({ ...context, sql: inner })) as Found[]);
    } catch (thrown) {
      const { code = "unknown" } = thrown as { code?: string };
      // A lost connection is not a finding of one check.
      if (!/^[0-9A-Z]{5}$/.test(code) || /^(08|57P)/.test(code)) throw thrown;
      const message = `The check ${name} failed with SQLSTATE ${code}`;
      found.push({ code: "CHECK_FAILED", object: name, message });
    }
  }
  return found;
}
