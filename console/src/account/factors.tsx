import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Text, useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Ago, Empty, Line, Lines, Problem, Section } from "../ui/parts.tsx";
import { Enrol } from "./enrol.tsx";

/** The second factors of the person: they are added and removed. */
export function Factors({ onCodes }: { onCodes(codes: readonly string[]): void }) {
  const queries = useBulwarkQueries();
  const t = useText();
  const { data: status, error } = useQuery(queries.mfa.status());
  return (
    <Section
      title={t("Second factors")}
      about={t("An app on your phone shows a code that is asked for when you sign in.")}
      action={<Enrol first={status?.enrolled === false} onCodes={onCodes} />}
    >
      <Lines
        items={status && (status.factors ?? [])}
        error={error}
        empty={
          <Empty title={t("No second factor")}>
            {t("With one, a stolen password is not enough to get into your account.")}
          </Empty>
        }
      >
        {({ id, name, activated_at, last_used_at }) => (
          <Line key={id}>
            <span className="min-w-32 flex-1 truncate font-medium">{name}</span>
            <span className="text-quiet">
              {last_used_at
                ? <Text of="used {time}" time={<Ago time={last_used_at} />} />
                : <Text of="added {time}" time={<Ago time={activated_at} />} />}
            </span>
            <Remove id={id} name={name} />
          </Line>
        )}
      </Lines>
    </Section>
  );
}

function Remove({ id, name }: { id: string; name: string }) {
  const queries = useBulwarkQueries();
  const t = useText();
  const disable = useMutation(queries.mfa.disable());
  const [asking, setAsking] = useState(false);
  if (!asking) {
    return (
      <button
        type="button"
        className="button danger"
        onClick={() => setAsking(true)}
        aria-label={t("Remove {name}", { name })}
      >
        {t("Remove")}
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
        {t("Remove for good")}
      </button>
      <button type="button" className="button" onClick={() => setAsking(false)}>{t("Keep")}</button>
    </span>
  );
}
