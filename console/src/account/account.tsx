import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { queries } from "../connection.ts";
import { browserName } from "../trusted_device.ts";
import {
  Ago,
  Badge,
  Empty,
  Heading,
  Line,
  Problem,
  Section,
  Skeleton,
  useTitle,
} from "../ui/parts.tsx";
import { BackupCodes } from "./backup_codes.tsx";
import { Enrol } from "./enrol.tsx";

/** Second factors, backup codes, trusted browsers and sessions of the person. */
export function Account() {
  useTitle("My security");
  const { data: status, error } = useQuery(queries.mfa.status());
  const [codes, setCodes] = useState<readonly string[] | null>(null);
  return (
    <div className="grid w-full max-w-3xl grid-cols-[minmax(0,1fr)] gap-4">
      <Heading>My security</Heading>
      <Problem error={error} />
      {codes && <BackupCodes codes={codes} onKept={() => setCodes(null)} />}
      <Section
        title="Second factors"
        about="An app on your phone shows a code that is asked for when you sign in."
        action={<Enrol first={status?.enrolled === false} onCodes={setCodes} />}
      >
        {!status ? <Skeleton /> : status.factors?.length
          ? (
            <ul>
              {status.factors.map(({ id, name, activated_at, last_used_at }) => (
                <Line key={id}>
                  <span className="min-w-32 flex-1 truncate font-medium">{name}</span>
                  <span className="text-quiet">
                    {last_used_at
                      ? (
                        <>
                          used <Ago time={last_used_at} />
                        </>
                      )
                      : (
                        <>
                          added <Ago time={activated_at} />
                        </>
                      )}
                  </span>
                  <Remove id={id} name={name} />
                </Line>
              ))}
            </ul>
          )
          : (
            <div className="border-t border-line">
              <Empty title="No second factor">
                With one, a stolen password is not enough to get into your account.
              </Empty>
            </div>
          )}
      </Section>
      {status?.enrolled && <Codes left={status.backup_codes_left} onCodes={setCodes} />}
      {status?.enrolled && (
        <Section title="Trusted browsers" about="They count as a second factor for a while.">
          {status.trusted_devices?.length
            ? (
              <ul>
                {status.trusted_devices.map((
                  { id, name, expires_at, last_used_at, created_at },
                ) => (
                  <Line key={id}>
                    <span className="min-w-32 flex-1 truncate font-medium">{name}</span>
                    <span className="text-quiet">
                      used <Ago time={last_used_at ?? created_at} />, ends <Ago time={expires_at} />
                    </span>
                    <Revoke id={id} name={name} />
                  </Line>
                ))}
              </ul>
            )
            : (
              <div className="border-t border-line">
                <Empty title="No trusted browser">You can trust one when you enter a code.</Empty>
              </div>
            )}
        </Section>
      )}
      <Sessions />
    </div>
  );
}

function Codes(
  { left, onCodes }: { left: number | null; onCodes(codes: readonly string[]): void },
) {
  const renew = useMutation({
    ...queries.mfa.newBackupCodes(),
    onSuccess: ({ backup_codes }) => onCodes(backup_codes),
  });
  return (
    <Section
      title="Backup codes"
      about={
        <>
          Each works once, when your phone is not at hand.{" "}
          {left !== null && <Badge tone={left < 3 ? "warn" : "good"}>{left} left</Badge>}
        </>
      }
      action={
        <button
          type="button"
          className="button"
          onClick={() => renew.mutate()}
          disabled={renew.isPending}
        >
          Make new codes
        </button>
      }
    >
      {renew.error && (
        <div className="px-4 pb-3">
          <Problem error={renew.error} />
        </div>
      )}
    </Section>
  );
}

function Remove({ id, name }: { id: string; name: string }) {
  const disable = useMutation(queries.mfa.disable());
  const [asking, setAsking] = useState(false);
  if (!asking) {
    return (
      <button
        type="button"
        className="button danger"
        onClick={() => setAsking(true)}
        aria-label={`Remove ${name}`}
      >
        Remove
      </button>
    );
  }
  return (
    <span className="flex flex-wrap items-center gap-2">
      <Problem error={disable.error} />
      <button
        type="button"
        className="button danger"
        autoFocus
        disabled={disable.isPending}
        onClick={() => disable.mutate([{ factor_id: id }])}
      >
        Remove for good
      </button>
      <button type="button" className="button" onClick={() => setAsking(false)}>Keep</button>
    </span>
  );
}

function Revoke({ id, name }: { id: string; name: string }) {
  const revoke = useMutation(queries.mfa.revokeDevice());
  return (
    <button
      type="button"
      className="button"
      aria-label={`Revoke ${name}`}
      disabled={revoke.isPending}
      onClick={() => revoke.mutate([id])}
    >
      Revoke
    </button>
  );
}

function Sessions() {
  const { data: sessions, error } = useQuery(queries.sessions.list());
  const end = useMutation(queries.sessions.end());
  return (
    <Section title="Sessions" about="Where your account is signed in.">
      {error || end.error
        ? (
          <div className="px-4 pb-3">
            <Problem error={error ?? end.error} />
          </div>
        )
        : !sessions && <Skeleton />}
      <ul>
        {sessions?.map((
          { id, user_agent, ip, refreshed_at, created_at, is_current, mfa_verified_at },
        ) => (
          <Line key={id}>
            <span className="min-w-32 flex-1 truncate">
              <span className="font-medium">{browserName(user_agent)}</span>{" "}
              {ip && <span className="font-mono text-xs text-quiet">{ip}</span>}
            </span>
            {mfa_verified_at && <Badge tone="good">second factor</Badge>}
            <span className="text-quiet">
              <Ago time={refreshed_at ?? created_at} />
            </span>
            {is_current ? <Badge>this one</Badge> : (
              <button
                type="button"
                className="button"
                disabled={end.isPending}
                onClick={() => end.mutate([id])}
              >
                End
              </button>
            )}
          </Line>
        ))}
      </ul>
    </Section>
  );
}
