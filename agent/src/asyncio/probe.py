# Run once in a namespace and a thread state of its own, with `asyncio` (the C module), `sys` and `look` given: makes one
# of each object whose memory is to be understood. No class and no import, so that nothing of it stays behind.
loop = type(asyncio)('loop')
ready = []
loop.call_soon = lambda callback, *_, context=None: ready.append(callback)
loop.get_debug = lambda: False
loop.call_exception_handler = lambda context: None
name = ''.join(('async', 'prof'))
latin, greek, smile = (''.join((first, 'x')) for first in '\xe9\u03b1\U0001f600')
async def leaf():
    await future
async def root():
    first, second = name, latin
    await inner
    return first, second
async def items():
    yield name
def lower(deeper):
    look(sys._getframe())
    return deeper and look(sys._getframe())
def upper():
    lower(None)
    look(sys._getframe())
    def nested(one, two, three):
        return look(sys._getframe()) or lower(True)
    nested(1, 2, 3)
    return nested.__code__
code = upper()
def enclosing(kept):
    return lambda: kept
closed = enclosing(name)
future = asyncio.Future(loop=loop)
inner = leaf()
outer = root()
task = asyncio.Task(outer, loop=loop, name=name)
step = ready.pop()
asyncio._set_running_loop(loop)
step()
asyncio._set_running_loop(None)
waiting = task._fut_waiter
inner_frame, outer_frame = inner.cr_frame, outer.cr_frame
one, two = (lambda future: None), (lambda future: None)
called = asyncio.Future(loop=loop)
called.add_done_callback(one)
called.add_done_callback(two)
finished, cancelled, raised = (asyncio.Future(loop=loop) for _ in 'abc')
error = ValueError()
finished.set_result(None)
cancelled.cancel()
raised.set_exception(error)
raised.exception()
stream = items()
wrapper = leaf()
wrapped = wrapper.__await__()
asend = stream.__anext__()
athrow = stream.athrow(error)
