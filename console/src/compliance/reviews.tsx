import { useMutation, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { queries } from "../connection.ts";
import type { Organization } from "../organization.tsx";
import { FormDialog } from "../ui/form_dialog.tsx";
import { useNames } from "../ui/names.ts";
import { Ago, Badge, Empty, Field } from "../ui/parts.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { ChooseMembers, type Chosen } from "./choose_members.tsx";

/** Campaigns in which people decide about the access of others. */
export function Reviews({ organization }: { organization: Organization }) {
  const { data: reviews, error } = useQuery(queries.reviews.list(organization.id));
  const nameOf = useNames(organization.id, reviews?.flatMap((one) => one.reviewers) ?? []);
  return (
    <>
      <div className="flex flex-wrap items-center gap-3">
        <p className="min-w-48 flex-1 text-quiet">
          Reviewers decide about every member and every API key in force: keep, or end at once.
        </p>
        {organization.permissions.includes("role:grant") && (
          <StartReview organization={organization} />
        )}
      </div>
      <Table
        label="Access reviews"
        columns={["Review", "State", "Due", "Reviewers", "Started"]}
        rows={reviews}
        error={error}
        empty={
          <Empty title="No access review">
            A review lists who has access, and records who decided that they keep it.
          </Empty>
        }
      >
        {({ id, name, due_at, closed_at, reviewers, started_at }) => (
          <Row key={id} data-review={name}>
            <Cell>
              <Link
                to="/o/$slug/reviews/$review"
                params={{ slug: organization.slug, review: id }}
                className="link font-medium whitespace-nowrap"
              >
                {name}
              </Link>
            </Cell>
            <Cell>
              <State due={due_at} closed={closed_at} />
            </Cell>
            <Cell className="text-quiet">
              <Ago time={due_at} />
            </Cell>
            <Cell className="max-w-64 truncate">{reviewers.map(nameOf).join(", ")}</Cell>
            <Cell className="text-quiet">
              <Ago time={started_at} />
            </Cell>
          </Row>
        )}
      </Table>
    </>
  );
}

/** Open, overdue or closed. */
export function State({ due, closed }: { due: string; closed: string | null }) {
  if (closed !== null) return <Badge tone="good">closed</Badge>;
  return Date.parse(due) < Date.now()
    ? <Badge tone="bad">overdue</Badge>
    : <Badge tone="warn">open</Badge>;
}

function StartReview({ organization }: { organization: Organization }) {
  const start = useMutation(queries.reviews.start());
  const [reviewers, setReviewers] = useState<readonly Chosen[]>([]);
  return (
    <FormDialog
      trigger="Start a review"
      title="Start an access review"
      action="Start"
      look="primary"
      mutation={start}
      onSubmit={(form, close) =>
        start.mutate([{
          organization_id: organization.id,
          name: String(form.get("name")).trim(),
          due_at: new Date(`${form.get("due")}T23:59:59`).toISOString(),
          reviewers: reviewers.map(({ id }) => id),
        }], {
          onSuccess: () => {
            setReviewers([]);
            close();
          },
        })}
    >
      <Field label="Name" name="name" required maxLength={120} placeholder="Third quarter" />
      <Field label="Due" name="due" type="date" required hint="Reviewers are reminded before" />
      <ChooseMembers
        organization={organization}
        label="Reviewers"
        several
        chosen={reviewers}
        onChange={setReviewers}
      />
      <p className="text-xs text-quiet">
        Nobody decides about themselves, so name two, or one who is not listed.
      </p>
    </FormDialog>
  );
}
