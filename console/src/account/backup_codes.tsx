import { useMutation, useQuery } from "@tanstack/react-query";
import { useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Badge, Problem, Section } from "../ui/parts.tsx";

/** Backup codes, which are shown this once. */
export function BackupCodes({ codes, onKept }: { codes: readonly string[]; onKept(): void }) {
  const t = useText();
  const text = `${codes.join("\n")}\n`;
  const download = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    link.download = "bulwark-backup-codes.txt";
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return (
    <Section
      title={t("Keep these backup codes")}
      about={t("They are shown this once. Each works once, without your phone.")}
    >
      <ol
        data-backup-codes
        className="grid gap-x-8 gap-y-1 border-t border-line px-4 py-3 font-mono text-sm sm:grid-cols-2"
      >
        {codes.map((code) => <li key={code} className="whitespace-nowrap">{code}</li>)}
      </ol>
      <div className="flex flex-wrap gap-2 px-4 pb-4">
        <button type="button" className="button primary" onClick={download}>
          {t("Download")}
        </button>
        <button
          type="button"
          className="button"
          onClick={() => navigator.clipboard.writeText(text)}
        >
          {t("Copy")}
        </button>
        <button type="button" className="button plain" onClick={onKept}>
          {t("I have kept them")}
        </button>
      </div>
    </Section>
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
