import { useMutation, useQuery } from "@tanstack/react-query";
import { Text, useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Ago, Empty, Line, Lines, Section } from "../ui/parts.tsx";

/** The browsers that count as a second factor of the person, which can be revoked. */
export function TrustedBrowsers() {
  const queries = useBulwarkQueries();
  const t = useText();
  const { data: status, error } = useQuery(queries.mfa.status());
  return (
    <Section
      title={t("Trusted browsers")}
      about={t("They count as a second factor for a while.")}
    >
      <Lines
        items={status && (status.trusted_devices ?? [])}
        error={error}
        empty={
          <Empty title={t("No trusted browser")}>
            {t("You can trust one when you enter a code.")}
          </Empty>
        }
      >
        {({ id, name, expires_at, last_used_at, created_at }) => (
          <Line key={id}>
            <span className="min-w-32 flex-1 truncate font-medium">{name}</span>
            <span className="text-quiet">
              <Text
                of="used {time}, ends {end}"
                time={<Ago time={last_used_at ?? created_at} />}
                end={<Ago time={expires_at} />}
              />
            </span>
            <Revoke id={id} name={name} />
          </Line>
        )}
      </Lines>
    </Section>
  );
}

function Revoke({ id, name }: { id: string; name: string }) {
  const queries = useBulwarkQueries();
  const t = useText();
  const revoke = useMutation(queries.mfa.revokeDevice());
  return (
    <button
      type="button"
      className="button"
      aria-label={t("Revoke {name}", { name })}
      disabled={revoke.isPending}
      onClick={() => revoke.mutate([id])}
    >
      {t("Revoke")}
    </button>
  );
}
