# Process 1 of every sandbox. Perl, because perl-base is essential on Debian and starts in 20 ms. It reaps zombies, starts commands
# (on pipes, or on a terminal of the guest's own devpts), and carries all their bytes over one inherited socket (fd 3), framed as
# protocol.ts says. No policy here: the emulator decides.
use strict; use warnings; no warnings 'exec';
use POSIX ();
use Fcntl qw(F_GETFL F_SETFL F_SETFD FD_CLOEXEC O_NONBLOCK O_RDWR O_NOCTTY);
use Errno qw(EINTR EAGAIN);
$0 = 'init';
my $READ_BYTES = 65536;
my $MAX_FRAME_BYTES = 32 * 1024 * 1024;
my $SYS_PIDFD_OPEN = 434;
my ($TIOCSPTLCK, $TIOCGPTN, $TIOCSWINSZ, $TIOCSCTTY) = (0x40045431, 0x80045430, 0x5414, 0x540E);
my $IUTF8 = 0x4000;
open(my $ctl, '+<&=', 3) or POSIX::_exit(111);
binmode $ctl; fcntl($ctl, F_SETFD, FD_CLOEXEC);
open(my $null, '+<', '/dev/null'); POSIX::dup2(fileno $null, 2); close $null;
if (opendir(my $dir, '/proc/self/fd')) {
  # Descriptors that the emulator inherited from its own parents must not reach a guest.
  my @open = grep { /^\d+$/ && $_ > 3 } readdir $dir;
  closedir $dir;
  POSIX::close($_) for @open;
}
pipe(my $wake_r, my $wake_w); nonblock($wake_r); nonblock($wake_w);
$SIG{CHLD} = sub { syswrite($wake_w, 'c') };
$SIG{PIPE} = 'IGNORE'; $SIG{$_} = 'IGNORE' for qw(INT TERM HUP);
my (%chan, %by_pid);
my $inbuf = '';

sub nonblock { my $fh = shift; fcntl($fh, F_SETFL, fcntl($fh, F_GETFL, 0) | O_NONBLOCK) }

sub emit {
  my ($type, $id, $data) = @_;
  my $frame = pack('NCN', 5 + length($data), ord($type), $id) . $data;
  my $at = 0;
  while ($at < length $frame) {
    my $n = syswrite($ctl, $frame, length($frame) - $at, $at);
    if (!defined $n) { next if $! == EINTR; POSIX::_exit(0) }
    $at += $n;
  }
}

sub child_exec {
  my ($status_w, $cwd, $argv, $env) = @_;
  $SIG{$_} = 'DEFAULT' for qw(CHLD PIPE INT TERM HUP);
  if (!chdir($cwd)) { syswrite($status_w, "cwd\0" . ($! + 0) . "\0$!"); POSIX::_exit(126) }
  %ENV = map { my ($k, $v) = split /=/, $_, 2; ($k => $v // '') } @$env;
  exec { $argv->[0] } @$argv;
  syswrite($status_w, "exec\0" . ($! + 0) . "\0$!");
  POSIX::_exit(127);
}

sub await_exec {
  my ($id, $pid, $status_r) = @_;
  my $text = '';
  while (1) {
    my $n = sysread($status_r, $text, 4096, length $text);
    next if !defined $n && $! == EINTR;
    last if !$n;
  }
  return 1 if $text eq '';
  waitpid($pid, 0);
  emit('F', $id, $text);
  return 0;
}

sub track {
  my ($id, $c) = @_;
  my $fd = syscall($SYS_PIDFD_OPEN, $c->{pid}, 0);
  if ($fd >= 0) { open($c->{pidfd}, '<&=', $fd); fcntl($c->{pidfd}, F_SETFD, FD_CLOEXEC) }
  $chan{$id} = $c; $by_pid{$c->{pid}} = $id;
  emit('S', $id, pack('N', $c->{pid}));
}

sub start_piped {
  my ($id, $cwd, $has_stdin, $argv, $env) = @_;
  pipe(my $or, my $ow); pipe(my $er, my $ew); pipe(my $sr, my $sw);
  my ($ir, $iw);
  if ($has_stdin) { pipe($ir, $iw) } else { open($ir, '<', '/dev/null') }
  my $pid = fork();
  return emit('F', $id, "fork\0" . ($! + 0) . "\0$!") unless defined $pid;
  if ($pid == 0) {
    POSIX::setsid();
    POSIX::dup2(fileno $ir, 0); POSIX::dup2(fileno $ow, 1); POSIX::dup2(fileno $ew, 2);
    child_exec($sw, $cwd, $argv, $env);
  }
  close $_ for $ow, $ew, $sw, $ir;
  return unless await_exec($id, $pid, $sr);
  nonblock($_) for $or, $er;
  nonblock($iw) if $iw;
  track($id, { pid => $pid, out => { o => $or, e => $er }, in => $iw, queue => '', closing => 0 });
}

sub start_terminal {
  my ($id, $cwd, $cols, $rows, $argv, $env) = @_;
  sysopen(my $master, '/dev/ptmx', O_RDWR | O_NOCTTY) or return emit('F', $id, "pty\0" . ($! + 0) . "\0$!");
  ioctl($master, $TIOCSPTLCK, my $unlock = pack('i', 0));
  ioctl($master, $TIOCGPTN, my $number = pack('I', 0));
  my $name = '/dev/pts/' . unpack('I', $number);
  ioctl($master, $TIOCSWINSZ, my $size = pack('S4', $rows, $cols, 0, 0));
  pipe(my $sr, my $sw);
  my $pid = fork();
  return emit('F', $id, "fork\0" . ($! + 0) . "\0$!") unless defined $pid;
  if ($pid == 0) {
    POSIX::setsid();
    sysopen(my $slave, $name, O_RDWR) or do { syswrite($sw, "pty\0" . ($! + 0) . "\0$!"); POSIX::_exit(126) };
    ioctl($slave, $TIOCSCTTY, my $zero = 0);
    my $termios = POSIX::Termios->new;
    if ($termios->getattr(fileno $slave)) {
      $termios->setiflag($termios->getiflag | $IUTF8);
      $termios->setattr(fileno $slave, POSIX::TCSANOW());
    }
    POSIX::dup2(fileno $slave, $_) for 0, 1, 2;
    child_exec($sw, $cwd, $argv, $env);
  }
  close $sw;
  return unless await_exec($id, $pid, $sr);
  nonblock($master);
  track($id, { pid => $pid, out => { o => $master }, in => $master, queue => '', closing => 0, tty => 1 });
}

# Terminals yield 4 KiB a read: gathered up to $READ_BYTES, so that a flood costs few frames.
sub pump {
  my ($id, $c, $stream, $all) = @_;
  my $fh = $c->{out}{$stream} or return;
  my $data = '';
  while (1) {
    my $n = sysread($fh, $data, $READ_BYTES, length $data);
    if (!defined $n) {
      next if $! == EINTR;
      last if $! == EAGAIN;
      $n = 0;
    }
    if ($n == 0) { delete $c->{out}{$stream}; last }
    next if length($data) < $READ_BYTES;
    emit($stream, $id, $data);
    return unless $all;
    $data = '';
  }
  emit($stream, $id, $data) if length $data;
}

sub feed {
  my $c = shift;
  return unless $c->{in};
  if (length $c->{queue}) {
    my $n = syswrite($c->{in}, $c->{queue}, $READ_BYTES);
    if (defined $n) { substr($c->{queue}, 0, $n) = '' }
    elsif ($! != EAGAIN && $! != EINTR) { $c->{queue} = ''; delete $c->{in}; return }
  }
  delete $c->{in} if $c->{closing} && !length $c->{queue} && !$c->{tty};
}

sub settle {
  my ($id, $c) = @_;
  return unless defined $c->{status};
  if ($c->{tty}) { pump($id, $c, 'o', 1); $c->{out} = {} }
  return if %{ $c->{out} };
  delete $chan{$id};
  emit('Z', $id, '');
}

sub reap {
  while ((my $pid = waitpid(-1, POSIX::WNOHANG())) > 0) {
    my $status = $?;
    my $id = delete $by_pid{$pid};
    next unless defined $id && $chan{$id};
    my $c = $chan{$id};
    $c->{status} = $status; delete $c->{pidfd};
    emit('X', $id, pack('N', $status));
    settle($id, $c);
  }
}

sub handle {
  my ($type, $id, $data) = @_;
  my $c = $chan{$id};
  if ($type eq 'E' || $type eq 'P') {
    my @words = split /\0/, $data, -1;
    my ($cwd, $one, $two, $argc) = splice @words, 0, 4;
    my @argv = splice @words, 0, $argc;
    pop @words;
    return $type eq 'E' ? start_piped($id, $cwd, $one, \@argv, \@words)
                        : start_terminal($id, $cwd, $one, $two, \@argv, \@words);
  }
  if ($type eq 'I') { if ($c && $c->{in}) { $c->{queue} .= $data; feed($c) } }
  elsif ($type eq 'C') { if ($c) { $c->{closing} = 1; feed($c) } }
  elsif ($type eq 'W') { if ($c && $c->{tty} && $c->{in}) { my ($cols, $rows) = split / /, $data; ioctl($c->{in}, $TIOCSWINSZ, my $size = pack('S4', $rows, $cols, 0, 0)) } }
  elsif ($type eq 'K') { kill $data, -$c->{pid} if $c && !defined $c->{status} }
  elsif ($type eq 'D') { if ($c) { $c->{out} = {}; delete $c->{in}; settle($id, $c) } }
  elsif ($type eq 'p') { $c->{paused} = 1 if $c }
  elsif ($type eq 'r') { delete $c->{paused} if $c }
  elsif ($type eq 'A') { kill $data, -1 }
  elsif ($type eq 'Q') { POSIX::_exit(0) }
}

sub read_frames {
  my $n = sysread($ctl, $inbuf, $READ_BYTES, length $inbuf);
  return if !defined $n && ($! == EINTR || $! == EAGAIN);
  POSIX::_exit(0) unless $n;
  while (length($inbuf) >= 9) {
    my ($len, $type, $id) = unpack('NCN', $inbuf);
    POSIX::_exit(112) if $len > $MAX_FRAME_BYTES;
    last if length($inbuf) < 4 + $len;
    my $data = substr($inbuf, 9, $len - 5);
    substr($inbuf, 0, 4 + $len) = '';
    handle(chr $type, $id, $data);
  }
}

emit('B', 0, '');
while (1) {
  my ($r, $w) = ('', '');
  vec($r, fileno $ctl, 1) = 1; vec($r, fileno $wake_r, 1) = 1;
  for my $c (values %chan) {
    if (!$c->{paused}) { vec($r, fileno $_, 1) = 1 for values %{ $c->{out} } }
    vec($r, fileno $c->{pidfd}, 1) = 1 if $c->{pidfd};
    vec($w, fileno $c->{in}, 1) = 1 if $c->{in} && length $c->{queue};
  }
  my $n = select($r, $w, undef, 5);
  if ($n > 0) {
    if (vec($r, fileno $wake_r, 1)) { sysread($wake_r, my $drop, 4096) }
    for my $id (keys %chan) {
      my $c = $chan{$id} or next;
      for my $stream (keys %{ $c->{out} }) {
        my $fh = $c->{out}{$stream};
        pump($id, $c, $stream, 0) if $fh && !$c->{paused} && vec($r, fileno $fh, 1);
      }
      feed($c) if $c->{in} && vec($w, fileno $c->{in}, 1);
      settle($id, $c);
    }
    read_frames() if vec($r, fileno $ctl, 1);
  }
  reap();
}
