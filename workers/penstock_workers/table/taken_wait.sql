-- Bounds this transaction's wait for a lock, in milliseconds; answers with a row if there is anything to lock.
SELECT set_config('lock_timeout', $2, true)
WHERE EXISTS (SELECT FROM penstock_taken WHERE worker = $1)
