# Undoes what `probe.py` has made, as far as it would be missed or be heard of.
task._log_destroy_pending = False
wrapped.close()
wrapper.close()
inner_frame = outer_frame = None
outer.close()
inner.close()
future.cancel()
called.cancel()
asend.close()
athrow.close()
