-- Two companies: Olga owns Acme, where Bob buys; Grace owns Globex.
insert into auth.users (id, email) values
  ('0a000000-0000-4000-8000-000000000001', 'olga@acme.example'),
  ('0a000000-0000-4000-8000-000000000002', 'bob@acme.example'),
  ('0a000000-0000-4000-8000-000000000003', 'grace@globex.example');

insert into public.organizations (id, name, slug) values
  ('0b000000-0000-4000-8000-000000000001', 'Acme', 'acme'),
  ('0b000000-0000-4000-8000-000000000002', 'Globex', 'globex');

insert into public.profiles values
  ('0a000000-0000-4000-8000-000000000001', 'Olga', '0b000000-0000-4000-8000-000000000001'),
  ('0a000000-0000-4000-8000-000000000002', 'Bob', '0b000000-0000-4000-8000-000000000001'),
  ('0a000000-0000-4000-8000-000000000003', 'Grace', '0b000000-0000-4000-8000-000000000002');

insert into public.organization_users (organization_id, user_id, role) values
  ('0b000000-0000-4000-8000-000000000001', '0a000000-0000-4000-8000-000000000001', 'owner'),
  ('0b000000-0000-4000-8000-000000000001', '0a000000-0000-4000-8000-000000000002', 'buyer'),
  ('0b000000-0000-4000-8000-000000000002', '0a000000-0000-4000-8000-000000000003', 'owner');

insert into public.purchases (organization_id, title, cents, status, requested_by) values
  ('0b000000-0000-4000-8000-000000000001', 'Laptop', 189900, 'approved', '0a000000-0000-4000-8000-000000000002'),
  ('0b000000-0000-4000-8000-000000000001', 'Desk', 45000, 'submitted', '0a000000-0000-4000-8000-000000000002'),
  ('0b000000-0000-4000-8000-000000000002', 'Van', 3200000, 'draft', '0a000000-0000-4000-8000-000000000003');

insert into public.contracts (organization_id, supplier, yearly_cents, ends_on) values
  ('0b000000-0000-4000-8000-000000000001', 'Paper & Sons', 120000, '2027-03-31'),
  ('0b000000-0000-4000-8000-000000000002', 'Fleet Ltd', 990000, '2028-12-31');
