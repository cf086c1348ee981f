-- expects: auth.exchange_external(text,text,text,interval,interval)
-- flaw
set local role rowhouse_sealer;
alter function auth.exchange_external(text, text, text, interval, interval) security invoker;
-- fixed
set local role rowhouse_sealer;
alter function auth.exchange_external(text, text, text, interval, interval) security definer;
