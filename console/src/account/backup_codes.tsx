import { useMutation, useQuery } from "@tanstack/react-query";
import { useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Badge, Problem, Section } from "../ui/parts.tsx";
import { save } from "../ui/save.ts";
import { CopyButton, ShownOnce } from "../ui/secret.tsx";

/** Shows backup codes, this once. */
export function BackupCodes({ codes, onKept }: { codes: readonly string[]; onKept(): void }) {
  const t = useText();
  const text = `${codes.join("\n")}\n`;
  const download = () => save(new Blob([text], { type: "text/plain" }), "bulwark-backup-codes.txt");
  return (
    <ShownOnce
      title={t("Keep these backup codes")}
      about={t("They are shown this once. Each works once, without your phone.")}
      done={t("I have kept them")}
      onDone={onKept}
    >
      <ol
        data-backup-codes
        className="grid justify-items-center gap-y-1 rounded-md border border-line bg-page px-3 py-2 font-mono text-xs"
      >
        {codes.map((code) => <li key={code} className="whitespace-nowrap">{code}</li>)}
      </ol>
      <div className="flex flex-wrap gap-2">
        <button type="button" className="button" onClick={download}>{t("Download")}</button>
        <CopyButton text={text} label={t("Copy the codes")} />
      </div>
    </ShownOnce>
  );
}

/** Makes new backup codes in place of those that are left, and says how many these are. */
export function RenewBackupCodes({ onCodes }: { onCodes(codes: readonly string[]): void }) {
  const queries = useBulwarkQueries();
  const t = useText();
  const left = useQuery(queries.mfa.status()).data?.backup_codes_left ?? null;
  const renew = useMutation({
    ...queries.mfa.newBackupCodes(),
    onSuccess: ({ backup_codes }) => onCodes(backup_codes),
  });
  return (
    <Section
      title={t("Backup codes")}
      about={
        <>
          {t("Each works once, when your phone is not at hand.")}{" "}
          {left !== null && (
            <Badge tone={left < 3 ? "warn" : "good"}>{t("{count} left", { count: left })}</Badge>
          )}
        </>
      }
      action={
        <button
          type="button"
          className="button"
          onClick={() => renew.mutate()}
          disabled={renew.isPending}
        >
          {t("Make new codes")}
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
