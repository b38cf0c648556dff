/**
 * An application in one file: signs in, enrols a second factor, invites, switches organizations, guards
 * a button, shows the audit log, and handles errors by code.
 */
import { type AuditEntry, type BulwarkError, createBulwark } from "@bulwark/client";
import { textOf } from "@bulwark/client/errors";
import { BulwarkProvider, Can, useBulwark, useWhoami } from "@bulwark/client/react";
import { createClient } from "@supabase/supabase-js";
import { type FormEvent, type ReactNode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

declare global {
  interface ImportMeta {
    readonly env: {
      VITE_SUPABASE_URL: string;
      VITE_SUPABASE_PUBLISHABLE_KEY: string;
    };
  }
}

const { VITE_SUPABASE_URL, VITE_SUPABASE_PUBLISHABLE_KEY } = import.meta.env;
const supabase = createClient(VITE_SUPABASE_URL, VITE_SUPABASE_PUBLISHABLE_KEY);
const bulwark = createBulwark(supabase, {
  onVerificationRequired: () => Promise.resolve(prompt("The code of your authenticator app")),
});

/** A text for people. The compiler knows all codes. */
function explain(error: BulwarkError): string {
  switch (error.code) {
    case "LOGIN_FAILED":
      return "The address or the password is wrong.";
    case "MFA_CODE_REFUSED":
    case "MFA_INVALID_CODE":
      return "This code is wrong or was used before. Wait for the next one.";
    case "RBAC_PERMISSION_DENIED":
      return "You may not do this. Ask an administrator of the organization.";
    case "RATE_LIMIT_EXCEEDED":
      return `Too many attempts. Try again in ${error.retryAfter ?? 60} seconds.`;
    case "CLIENT_NETWORK":
      return "The server cannot be reached.";
    default:
      return textOf(error);
  }
}

function Problem({ error }: { error: BulwarkError | null }) {
  return error && <p role="alert" data-code={error.code}>{explain(error)}</p>;
}

/** A form that shows why its action was refused. */
function Form({ name, action, children }: {
  name: string;
  action: (
    field: (name: string) => string,
  ) => PromiseLike<{ error: BulwarkError | null }>;
  children: ReactNode;
}) {
  const [error, setError] = useState<BulwarkError | null>(null);
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    setError((await action((field) => String(fields.get(field) ?? ""))).error);
  };
  return (
    <form name={name} onSubmit={submit}>
      {children}
      <Problem error={error} />
    </form>
  );
}

function SignIn() {
  const { signIn } = useBulwark();
  return (
    <Form
      name="sign-in"
      action={(field) => signIn({ email: field("email"), password: field("password") })}
    >
      <h1>Sign in</h1>
      <label>
        E-mail
        <input name="email" type="email" autoComplete="username" required />
      </label>
      <label>
        Password
        <input
          name="password"
          type="password"
          autoComplete="current-password"
          required
        />
      </label>
      <button type="submit">Sign in</button>
    </Form>
  );
}

function SecondFactor() {
  const { mfa } = useBulwark();
  const { data: me, refresh } = useWhoami();
  const [secret, setSecret] = useState<string>();
  const [backupCodes, setBackupCodes] = useState<readonly string[]>();
  if (backupCodes) {
    return (
      <section>
        <h2>Backup codes</h2>
        <p id="backup-codes">Keep these codes: {backupCodes.join(" ")}</p>
      </section>
    );
  }
  if (!me || me.mfa.enrolled) return null;
  const enroll = async () => {
    const { data, error } = await mfa.enroll("Authenticator app");
    if (data) setSecret(data.secret);
    return { error };
  };
  const activate = async (code: string) => {
    const { data, error } = await mfa.activate(code);
    if (data) {
      setBackupCodes(data.backup_codes ?? []);
      await refresh();
    }
    return { error };
  };
  return (
    <section>
      <h2>Second factor</h2>
      {secret === undefined
        ? (
          <Form name="enrol" action={enroll}>
            <p>
              A code of your phone protects your account if your password is stolen.
            </p>
            <button type="submit">Add a second factor</button>
          </Form>
        )
        : (
          <Form name="activate" action={(field) => activate(field("code"))}>
            <p>
              Add <code id="secret">{secret}</code> to your authenticator app.
            </p>
            <label>
              Its code
              <input
                name="code"
                inputMode="numeric"
                autoComplete="one-time-code"
                required
              />
            </label>
            <button type="submit">Activate</button>
          </Form>
        )}
    </section>
  );
}

function Invite({ organization }: { organization: string }) {
  const { invitations } = useBulwark();
  const [invited, setInvited] = useState<string>();
  const invite = async (email: string) => {
    const { error } = await invitations.create(organization, {
      email,
      role: "viewer",
    });
    if (!error) setInvited(email);
    return { error };
  };
  return (
    <Form name="invite" action={(field) => invite(field("email"))}>
      <label>
        E-mail
        <input name="email" type="email" required />
      </label>
      <button type="submit">Invite</button>
      {invited && <p id="invited">{invited} is invited.</p>}
    </Form>
  );
}

function AuditLog({ organization }: { organization: string }) {
  const { audit } = useBulwark();
  const [entries, setEntries] = useState<readonly AuditEntry[]>([]);
  const [error, setError] = useState<BulwarkError | null>(null);
  useEffect(() => {
    let isShown = true;
    void audit.search({ organization_id: organization, page_size: 20 }).then(
      (answer) => {
        if (!isShown) return;
        setEntries(answer.data?.entries ?? []);
        setError(answer.error);
      },
    );
    return () => {
      isShown = false;
    };
  }, [audit, organization]);
  return (
    <section>
      <h2>Audit log</h2>
      <ol id="audit-log">
        {entries.map(({ id, occurred_at, event_type }) => (
          <li key={id}>
            <time dateTime={occurred_at}>
              {new Date(occurred_at).toLocaleString()}
            </time>
            <span>{event_type}</span>
          </li>
        ))}
      </ol>
      <Problem error={error} />
    </section>
  );
}

function Home() {
  const { data: me, error } = useWhoami();
  const [chosen, choose] = useState<string>();
  if (!me) return <Problem error={error} />;
  const organization = me.organizations.find(({ id }) => id === chosen) ??
    me.organizations[0];
  return (
    <>
      <header>
        <h1>Organizations</h1>
        <span id="me">{me.user.email}</span>
        <button
          id="sign-out"
          type="button"
          onClick={() => supabase.auth.signOut()}
        >
          Sign out
        </button>
      </header>
      <Problem error={error} />
      <SecondFactor />
      {organization && (
        <>
          <label>
            Organization
            <select
              id="organization"
              value={organization.id}
              onChange={({ target }) => choose(target.value)}
            >
              {me.organizations.map(({ id, name }) => <option key={id} value={id}>{name}</option>)}
            </select>
          </label>
          <section>
            <h2>Invite people</h2>
            <Can
              do="user:create"
              in={organization.id}
              otherwise={<p id="no-invitations">Administrators invite people.</p>}
            >
              <Invite key={organization.id} organization={organization.id} />
            </Can>
          </section>
          <Can do="audit:read" in={organization.id}>
            <AuditLog organization={organization.id} />
          </Can>
        </>
      )}
    </>
  );
}

function App() {
  const [account, setAccount] = useState<string | null>();
  useEffect(() => {
    const { data } = supabase.auth.onAuthStateChange((_event, session) =>
      setAccount(session?.user.id ?? null)
    );
    return () => data.subscription.unsubscribe();
  }, []);
  if (account === undefined) return null;
  return (
    <BulwarkProvider client={bulwark} account={account}>
      {account ? <Home key={account} /> : <SignIn />}
    </BulwarkProvider>
  );
}

const root = document.getElementById("root");
if (root) createRoot(root).render(<App />);
